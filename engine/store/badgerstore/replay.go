package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// openJournal reads the journal of a store's database back, or makes one where there
// is none, once set has been given it. Badger's lock on the directory is held.
func openJournal(s *Store, set func(*journal)) (*journal, error) {
	j := &journal{
		dir: s.disk.dir, disk: &s.disk, db: s.db, room: s.room, ended: s.ended, fails: s.end,
		write: writeAt, sync: syncData, step: func(string) {},
		wanted: make(chan struct{}, 1), full: make(chan struct{}, 1), stop: make(chan struct{}),
		live: newGeneration(0),
	}
	var err error
	if j.folder, err = os.Open(j.dir); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	set(j)
	if err := j.restore(); err != nil {
		return nil, errors.Join(err, j.shut())
	}
	return j, nil
}

// restore brings the journal to where it was.
func (j *journal) restore() error {
	if err := os.Remove(filepath.Join(j.dir, unfinished)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("tidy journal: %w", err)
	}
	n, known, err := readNote(j.db)
	if err != nil {
		return err
	}
	if !known {
		n.first = 1
	}
	r := &replay{journal: j, note: n, known: known, seq: n.folded, room: make([]byte, segmentSize)}
	if err := r.run(); err != nil {
		return err
	}
	// A process that was killed may have given a segment its name without having made
	// that durable; the next commits may go there.
	if err := j.syncDir(); err != nil || known {
		return err
	}
	return j.start(r, n)
}

// begin has the background begin.
func (j *journal) begin() {
	j.working.Add(2)
	go j.keepSpares()
	go j.keepFolding()
	j.want()
}

// start gives a database that has no journal its first segment, and a note of it.
func (j *journal) start(r *replay, n note) error {
	if r.used > 0 {
		return fmt.Errorf("the journal in %s is of another database than the tables; restore both from one backup", j.dir)
	}
	if len(j.live.segments) == 0 {
		s, err := j.makeSegment(n.first)
		if err != nil {
			return err
		}
		j.live.segments, j.next = []*segment{s}, n.first+1
	}
	if err := j.writeNote(n); err != nil {
		return err
	}
	return j.settle()
}

func writeAt(f *os.File, b []byte, at int64) error {
	_, err := f.WriteAt(b, at)
	return err
}

// A replay reads the segments in order.
type replay struct {
	journal *journal
	note    note
	known   bool   // the note was there
	seq     uint64 // the last commit that was read
	room    []byte // for the content of a segment
	used    int    // of the segments, up to the last with a commit
	tail    string // where the last of them ends, for people
}

// run reads them all. Segments from before the note are used again, but only after
// the next fold: until then nobody knows whether the note itself would outlast a loss
// of power.
func (r *replay) run() error {
	j := r.journal
	numbers, err := listSegments(j.dir)
	if err != nil {
		return err
	}
	j.next = r.note.first
	for _, n := range numbers {
		f, err := os.OpenFile(segmentName(j.dir, n), os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("open journal: %w", err)
		}
		s := &segment{number: n, file: f, end: segmentHead}
		if n < r.note.first {
			if err := r.spare(s); err != nil {
				return err
			}
			continue
		}
		j.live.segments = append(j.live.segments, s)
		if n != j.next {
			break
		}
		j.next++
		if err := r.read(s); err != nil {
			return err
		}
	}
	if n := len(numbers); n > 0 && numbers[n-1] >= j.next || j.next == r.note.first && r.known {
		return fmt.Errorf("journal %s is missing; restore the database from a backup", segmentName(j.dir, j.next))
	}
	// The first takes the next commit even if it has none yet; what is behind those
	// in use stands ready.
	used := max(r.used, min(1, len(j.live.segments)))
	j.spares = make(chan *segment, maxSpares+len(numbers))
	for _, s := range j.live.segments[used:] {
		j.spares <- s
	}
	j.live.segments = j.live.segments[:used]
	j.live.last, j.seq, j.folded = r.seq, r.seq, r.note.folded
	return nil
}

// spare keeps a segment from before the note, unless it is not as segments are.
func (r *replay) spare(s *segment) error {
	info, err := s.file.Stat()
	if err == nil && info.Size() == segmentSize {
		r.journal.live.debris = append(r.journal.live.debris, s)
		return nil
	}
	if err = errors.Join(err, s.file.Close(), os.Remove(s.file.Name())); err != nil {
		return fmt.Errorf("tidy journal: %w", err)
	}
	return nil
}

// read takes in the commits of a segment, and makes them durable anew: where a sync
// has failed, what the system gives to read may not be on the disk.
func (r *replay) read(s *segment) error {
	name := s.file.Name()
	b := r.room
	if info, err := s.file.Stat(); err != nil {
		return fmt.Errorf("read journal: %w", err)
	} else if info.Size() != segmentSize {
		return damaged(name, min(info.Size(), segmentSize), fmt.Sprintf("it has %d bytes instead of %d", info.Size(), segmentSize))
	}
	if _, err := s.file.ReadAt(b, 0); err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	seed, err := readHead(b, s.number)
	if err != nil {
		return damaged(name, 0, err.Error())
	}
	s.seed = seed
	for {
		body, seq, size, ok := openRecord(b[s.end:], seed)
		if !ok || seq != r.seq+1 {
			break
		}
		if err := r.take(body, seq); err != nil {
			return damaged(name, s.end, err.Error())
		}
		s.end += int64(size)
	}
	if at := findRecord(b, s.end, seed); at >= 0 {
		if s.end == segmentHead && r.tail != "" {
			return fmt.Errorf("journal %s, but %s has commits that do not follow, at byte %d: one of them is damaged; restore the database from a backup", r.tail, name, at)
		}
		return damaged(name, s.end, fmt.Sprintf("there are commits behind that, at byte %d", at))
	}
	if s.end == segmentHead {
		return nil
	}
	r.used = len(r.journal.live.segments)
	r.tail = fmt.Sprintf("%s ends at byte %d", name, s.end)
	if err := writeAt(s.file, b[:s.end], 0); err != nil {
		return fmt.Errorf("write journal again: %w", err)
	}
	if err := syncData(s.file); err != nil {
		return fmt.Errorf("write journal again: %w", err)
	}
	return nil
}

// take enters a commit into the live generation.
func (r *replay) take(body []byte, seq uint64) error {
	r.seq = seq
	return eachWrite(bytes.Clone(body), func(key, value []byte) {
		r.journal.live.put(string(key), value, seq, false)
	})
}

// findRecord returns where in a segment, from at on, there is a record, or -1.
func findRecord(b []byte, at int64, seed uint32) int64 {
	for ; at < int64(len(b)); at += recordAlign {
		if bytes.HasPrefix(b[at:], []byte{0, 0, 0, 0}) {
			continue // as most of it is
		}
		if _, _, _, ok := openRecord(b[at:], seed); ok {
			return at
		}
	}
	return -1
}

func damaged(name string, at int64, why string) error {
	return fmt.Errorf("journal %s is damaged at byte %d (%s); restore the database from a backup", name, at, why)
}
