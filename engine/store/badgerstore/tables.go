package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
)

// openDatabase opens a Badger database whose files may be damaged, some of which
// Badger meets with a panic.
func openDatabase(o badger.Options) (db *badger.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("a file of the database is damaged (%.200v); restore it from a backup", r)
		}
	}()
	return badger.Open(o)
}

// checkTables opens every table as Badger will, and reads each of its blocks once.
// Badger opens them on goroutines of its own, several at a time: there one that is
// damaged ends the process with a panic that nobody can recover from, or has it close
// those that are just being opened.
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
	for id, t := range manifest.Tables {
		name := table.NewFilename(id, o.Dir)
		if err := checkTable(name, id, table.Options{Compression: t.Compression, BlockSize: o.BlockSize, ChkMode: options.OnBlockRead}); err != nil {
			return fmt.Errorf("table %s is damaged (%w); restore it from a backup", name, err)
		}
	}
	return nil
}

// errSums is what is wrong with a table that has the form of one.
var errSums = errors.New("its content does not give its checksums")

func checkTable(name string, id uint64, o table.Options) (err error) {
	content, err := os.ReadFile(name) //nolint:gosec // the operator's own path
	if err != nil {
		return err
	}
	if err := checkEnd(content); err != nil {
		return err
	}
	defer func() {
		if recover() != nil {
			err = errSums // to say more, Badger looks into a file that is not there
		}
	}()
	t, err := table.OpenInMemoryTable(content, id, &o)
	if err == nil {
		err = t.VerifyChecksum()
	}
	if err != nil {
		return errSums
	}
	return nil
}

// checkEnd reads the end of a table backwards: the length of a checksum (4 bytes,
// big-endian), the checksum, the length of the index, the index. Lengths that lead
// out of its file are what Badger does not survive anywhere.
func checkEnd(content []byte) error {
	for _, what := range []string{"checksum", "index"} {
		at := len(content) - 4
		if at < 0 {
			return fmt.Errorf("it ends before its %s", what)
		}
		length := int64(binary.BigEndian.Uint32(content[at:]))
		if length > int64(at) {
			return fmt.Errorf("its %s is longer than the file", what)
		}
		content = content[:int64(at)-length]
	}
	return nil
}
