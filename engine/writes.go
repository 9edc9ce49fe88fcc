package engine

// A written key is one that an overlay has put or deleted.
type written struct {
	key   string
	value []byte // nil = deleted
	by    int    // the number of the action of its batch that wrote it last
	lent  bool   // value is good until the batch is over
}

// writes are the written keys of an overlay, each once, in the order in which they
// came. Most actions write a few, which are found faster by looking through them.
type writes struct {
	list []written
	at   map[string]int // of a long list: where a key is in it
}

// shortList is how many keys are looked through.
const shortList = 16

// find returns what was written at key, or nil. It is good until the next put.
func (w *writes) find(key string) *written {
	if len(w.list) > shortList {
		if i, ok := w.at[key]; ok {
			return &w.list[i]
		}
		return nil
	}
	for i := range w.list {
		if w.list[i].key == key {
			return &w.list[i]
		}
	}
	return nil
}

// put notes what is written.
func (w *writes) put(new written) {
	if known := w.find(new.key); known != nil {
		*known = new
		return
	}
	w.list = append(w.list, new)
	switch n := len(w.list); {
	case n == shortList+1:
		if w.at == nil {
			w.at = make(map[string]int, 4*shortList)
		}
		for i := range w.list {
			w.at[w.list[i].key] = i
		}
	case n > shortList:
		w.at[new.key] = n - 1
	}
}

func (w *writes) reset() {
	clear(w.list)
	w.list = w.list[:0]
	clear(w.at)
}
