package stripe

// looks is a set of looks of names. Most names that are not the same look different,
// so that most questions after a name are answered without comparing it with others.
type looks [4]uint64

// look is what a name looks like: eight bits of its length and of three of its bytes,
// mixed by a multiplication (Knuth, The Art of Computer Programming, section 6.4).
func look[T string | []byte](name T) uint8 {
	if len(name) == 0 {
		return 0
	}
	n := uint32(len(name)) //nolint:gosec // any bits will do
	n = n<<24 | uint32(name[len(name)-1])<<16 | uint32(name[len(name)/2])<<8 | uint32(name[0])
	return uint8(n * 0x9E3779B1 >> 24)
}

// add puts a look in, and reports whether it was there.
func (l *looks) add(look uint8) (was bool) {
	was = l.has(look)
	l[look/64] |= 1 << (look % 64)
	return was
}

// has reports whether a look is there.
func (l *looks) has(look uint8) bool { return l[look/64]&(1<<(look%64)) != 0 }
