package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"
)

// openDatabase opens a Badger database whose tables may be damaged. Badger meets
// some damages with a panic, of which those on goroutines of its own would end the
// process without a word of where.
func openDatabase(o badger.Options) (db *badger.DB, err error) {
	if !o.InMemory {
		if err := checkTables(o); err != nil {
			return nil, err
		}
	}
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("a file of the database is damaged (%.200v); restore it from a backup", r)
		}
	}()
	return badger.Open(o)
}

// checkTables holds the ends of all tables to their form: lengths that lead out
// of its file are what Badger does not survive. It verifies the checksums itself.
// A table that the manifest does not name is none: a process that was killed while
// it wrote one leaves such a file, which Badger removes.
func checkTables(o badger.Options) error {
	f, err := os.Open(filepath.Join(o.Dir, badger.ManifestFilename))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing was written through it
	manifest, _, err := badger.ReplayManifestFile(f, o.ExternalMagicVersion, o)
	if err != nil {
		return fmt.Errorf("the manifest is damaged (%w); restore it from a backup", err)
	}
	for id := range manifest.Tables {
		name := table.NewFilename(id, o.Dir)
		if err := checkTable(name); err != nil {
			return fmt.Errorf("table %s is damaged (%w); restore it from a backup", name, err)
		}
	}
	return nil
}

// checkTable reads the end of a table backwards: the length of a checksum (4 bytes,
// big-endian), the checksum, the length of the index, the index.
func checkTable(name string) (err error) {
	f, err := os.Open(name) //nolint:gosec // the operator's own path
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing was written through it
	info, err := f.Stat()
	if err != nil {
		return err
	}
	at := info.Size()
	for _, what := range []string{"checksum", "index"} {
		var length [4]byte
		if at -= int64(len(length)); at < 0 {
			return fmt.Errorf("it ends before its %s", what)
		}
		if _, err := f.ReadAt(length[:], at); err != nil {
			return err
		}
		if at -= int64(binary.BigEndian.Uint32(length[:])); at < 0 {
			return fmt.Errorf("its %s is longer than the file", what)
		}
	}
	return nil
}
