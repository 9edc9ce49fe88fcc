package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// spare takes a segment that stands ready, or waits until one does.
func (j *journal) spare(ctx context.Context) (*segment, error) {
	j.want()
	select {
	case s := <-j.spares:
		j.want()
		return s, nil
	default:
	}
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case s := <-j.spares:
			j.want()
			return s, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-look.C:
			if err := errors.Join(j.ended(), j.room(), j.lacking()); err != nil {
				return nil, err
			}
		}
	}
}

// lacking is why there is no spare, where making one has failed though there was room.
// It has another attempt made.
func (j *journal) lacking() error {
	if len(j.spares) == 0 {
		j.want()
	}
	j.making.Lock()
	defer j.making.Unlock()
	return j.lack
}

// want has the spares looked after.
func (j *journal) want() {
	select {
	case j.wanted <- struct{}{}:
	default: // they are about to be
	}
}

// keepSpares makes a segment whenever there is none to spare.
func (j *journal) keepSpares() {
	defer j.working.Done()
	for {
		select {
		case <-j.stop:
			return
		case <-j.wanted:
		}
		for len(j.spares) == 0 && j.ended() == nil {
			if j.room() != nil {
				break // as whoever wants one will be told
			}
			s, err := j.makeSpare()
			j.making.Lock()
			j.lack = err
			j.making.Unlock()
			if err != nil {
				break
			}
			j.spares <- s
		}
	}
}

// makeSpare makes the next segment, of an old one where there is one.
func (j *journal) makeSpare() (*segment, error) {
	j.making.Lock()
	number := j.next
	var old *segment
	if len(j.old) > 0 {
		old, j.old = j.old[0], j.old[1:]
	}
	j.making.Unlock()
	var s *segment
	var err error
	if old == nil {
		s, err = j.makeSegment(number)
	} else if s, err = j.reuseSegment(old, number); err != nil {
		err = errors.Join(err, old.file.Close())
	}
	if err != nil {
		// Whatever name it has, its content is uncertain, and nobody has it yet.
		_ = os.Remove(filepath.Join(j.dir, unfinished))
		_ = os.Remove(segmentName(j.dir, number))
		return nil, fmt.Errorf("make room for commits: %w", err)
	}
	j.making.Lock()
	j.next = number + 1
	j.making.Unlock()
	return s, nil
}

// retire has the segments of a dropped generation used again.
func (j *journal) retire(segments []*segment) {
	j.making.Lock()
	j.old = append(j.old, segments...)
	j.making.Unlock()
	j.want()
}

// close ends what goes on in the background, of which the next process will find what
// it needs to go on with it, and closes the files.
func (j *journal) close() error {
	close(j.stop)
	j.working.Wait()
	return j.shut()
}

// shut closes the files. Nobody may use the journal any more.
func (j *journal) shut() error {
	all := slices.Concat(j.live.segments, j.live.debris, j.old)
	if j.frozen != nil {
		all = slices.Concat(all, j.frozen.segments, j.frozen.debris)
	}
	for len(j.spares) > 0 {
		all = append(all, <-j.spares)
	}
	err := j.folder.Close()
	for _, s := range all {
		err = errors.Join(err, s.file.Close())
	}
	return err
}
