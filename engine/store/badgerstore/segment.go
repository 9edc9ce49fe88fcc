package badgerstore

import (
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A segment is a file of the journal. It has its full size, and the disk has all of
// it, before it takes a record: neither a full disk nor the making of blocks can
// meet a commit. It begins with a head, padded to recordAlign:
//
//	magic     8 bytes
//	number    8 bytes   as in its name
//	salt      8 bytes   drawn anew for each use
//	checksum  4 bytes   CRC-32C of all that; it seeds those of the records
//
// A segment whose content is in Badger is used again, under the next number.
type segment struct {
	number uint64
	file   *os.File
	seed   uint32
	end    int64 // where the next record goes; guarded by journal.turn
}

const (
	segmentSize   = 8 << 20
	segmentHead   = recordAlign
	segmentMagic  = "outgojl1"
	segmentSuffix = ".journal"
	// unfinished is a segment that is being made or made ready for another use.
	unfinished = "next.journal-new"
)

func segmentName(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%08d%s", number, segmentSuffix))
}

// listSegments returns the numbers of the segments in dir, in order.
func listSegments(dir string) ([]uint64, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list journal: %w", err)
	}
	var numbers []uint64
	for _, e := range names {
		text, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n == 0 || filepath.Join(dir, e.Name()) != segmentName(dir, n) {
			return nil, fmt.Errorf("list journal: %s is no name of a segment", e.Name())
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers, nil
}

// newHead draws the head of a segment.
func newHead(number uint64) []byte {
	b := make([]byte, segmentHead)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint64(b[8:], number)
	_, _ = crand.Read(b[16:24]) // never fails
	binary.LittleEndian.PutUint32(b[24:], crc32.Checksum(b[:24], castagnoli))
	return b
}

// readHead returns the seed of the segment with a number, or why its head is not one.
func readHead(b []byte, number uint64) (seed uint32, err error) {
	if len(b) < segmentHead || string(b[:8]) != segmentMagic {
		return 0, errors.New("it does not begin as a journal does")
	}
	seed = binary.LittleEndian.Uint32(b[24:])
	if crc32.Checksum(b[:24], castagnoli) != seed {
		return 0, errors.New("its head does not give its checksum")
	}
	if n := binary.LittleEndian.Uint64(b[8:]); n != number {
		return 0, fmt.Errorf("it is number %d by its head", n)
	}
	return seed, nil
}

// makeSegment makes the segment with a number, of zeros.
func (j *journal) makeSegment(number uint64) (s *segment, err error) {
	name := filepath.Join(j.dir, unfinished)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // a file of the store's own directory
	if err != nil {
		return nil, fmt.Errorf("make journal: %w", err)
	}
	defer func() {
		if err != nil {
			_ = errors.Join(f.Close(), os.Remove(name)) // or the next attempt writes it anew
		}
	}()
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < segmentSize; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros, at); err != nil {
			return nil, fmt.Errorf("make journal: %w", err)
		}
	}
	return j.finishSegment(f, number)
}

// reuseSegment makes another one of a segment that nobody needs any more. Its old
// name is gone for good before its old head is.
func (j *journal) reuseSegment(old *segment, number uint64) (*segment, error) {
	if err := os.Rename(segmentName(j.dir, old.number), filepath.Join(j.dir, unfinished)); err != nil {
		return nil, fmt.Errorf("reuse journal: %w", err)
	}
	j.step("unnamed")
	if err := j.syncDir(); err != nil {
		return nil, err
	}
	return j.finishSegment(old.file, number)
}

// finishSegment gives the unfinished segment its head, then its name.
func (j *journal) finishSegment(f *os.File, number uint64) (*segment, error) {
	head := newHead(number)
	if _, err := f.WriteAt(head, 0); err != nil {
		return nil, fmt.Errorf("make journal: %w", err)
	}
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("make journal: %w", err)
	}
	j.step("headed")
	if err := os.Rename(filepath.Join(j.dir, unfinished), segmentName(j.dir, number)); err != nil {
		return nil, fmt.Errorf("make journal: %w", err)
	}
	if err := j.syncDir(); err != nil {
		return nil, err
	}
	j.step("named")
	seed, err := readHead(head, number)
	return &segment{number: number, file: f, seed: seed, end: segmentHead}, err
}
