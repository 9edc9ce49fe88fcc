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

// EntryKey and MarkKey name the keys of an entry and of a checkpoint.
func (c *Chain) EntryKey(seq uint64) string { return c.entryKey(seq) }

// MarkKey names the key of a checkpoint.
func (c *Chain) MarkKey(seq uint64) string { return c.markKey(seq) }

// HeadKey names the key of the head.
func (c *Chain) HeadKey() string { return c.prefix + headKey }

// Cell is what a CSV export makes of one cell.
func Cell(s string) string { return cell(s) }
