package audit

// Fine makes a chain set a checkpoint every step entries, and compare atOnce
// values at a time, so that small ledgers go through what large ones do.
func (c *Chain) Fine(step uint64, atOnce int) *Chain {
	c.step, c.atOnce = step, atOnce
	return c
}

// Encode and Decode are the stored form, for the tests of it.
func (e *Entry) Encode() ([]byte, error) { return e.encode() }

// Decode reads the stored form.
func Decode(b []byte) (Entry, error) { return decodeEntry(b) }

// DecodeMark reads the stored form of a mark, and gives it back as written again.
func DecodeMark(b []byte) (m Mark, again []byte, err error) {
	m, err = decodeMark(b)
	return m, m.encode(), err
}

// Forms takes the value of a key of entries apart into their stored forms.
func Forms(value []byte) (forms [][]byte, err error) {
	for len(value) > 0 {
		_, rest, err := nextEntry(value)
		if err != nil {
			return nil, err
		}
		forms, value = append(forms, value[:len(value)-len(rest)]), rest
	}
	return forms, nil
}

// Seq is the sequence of the last entry.
func (b *Batch) Seq() uint64 { return b.head.Seq }

// EntryKey and MarkKey name the keys of an entry, where it is the first of its batch, and of a checkpoint.
func (c *Chain) EntryKey(seq uint64) string { return c.entryKey(seq) }

// MarkKey names the key of a checkpoint.
func (c *Chain) MarkKey(seq uint64) string { return c.markKey(seq) }

// HeadKey names the key of the head.
func (c *Chain) HeadKey() string { return c.prefix + headKey }

// Cell is what a CSV export makes of one cell.
func Cell(s string) string { return cell(s) }
