package badgerstore

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A record is one commit in a segment of the journal. It begins at a multiple of
// recordAlign and is padded to one:
//
//	length    4 bytes   of the body
//	checksum  4 bytes   CRC-32C of length, sequence and body, seeded by the segment
//	sequence  8 bytes   one more than that of the record before
//	body                writes, one after the other: the length of the key, the
//	                    length of the value plus one, key and value; the second is
//	                    0 for a deletion (lengths are unsigned varints)
//
// Numbers are little-endian. The seed is drawn anew each time that a segment is
// used: what is left of an earlier use is no record, nor is what a caller stores.
const (
	recordAlign = 64
	recordHead  = 16
)

// maxRecord bounds a transaction, in bytes of its record. It is what a transaction
// of Badger's may have with this profile.
const maxRecord = memTable / 100 * 15

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errRecord is what is wrong with a body that has its checksum but no meaning.
var errRecord = errors.New("a record cannot be understood")

// padded is the room that a record of n bytes takes.
func padded(n int) int { return (n + recordAlign - 1) &^ (recordAlign - 1) }

// appendPut and appendDelete add a write to a record.
func appendPut(b []byte, key string, value []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(key)))
	b = binary.AppendUvarint(b, uint64(len(value))+1)
	return append(append(b, key...), value...)
}

func appendDelete(b []byte, key string) []byte {
	b = binary.AppendUvarint(b, uint64(len(key)))
	return append(append(b, 0), key...)
}

// sealRecord completes a record, whose first recordHead bytes are free, and returns
// it with its padding.
func sealRecord(b []byte, seed uint32, seq uint64) []byte {
	n := len(b)
	var zeros [recordAlign]byte
	b = append(b, zeros[:padded(n)-n]...)
	binary.LittleEndian.PutUint32(b, uint32(n-recordHead)) //nolint:gosec // at most maxRecord
	binary.LittleEndian.PutUint64(b[8:], seq)
	binary.LittleEndian.PutUint32(b[4:], checksum(b[:n], seed))
	return b
}

// checksum is what stands in a record that has no padding.
func checksum(b []byte, seed uint32) uint32 {
	sum := crc32.Update(seed, castagnoli, b[:4])
	return crc32.Update(sum, castagnoli, b[8:])
}

// openRecord returns the body and the sequence of the record at the beginning of b,
// and how many bytes it takes, or ok = false when there is none.
func openRecord(b []byte, seed uint32) (body []byte, seq uint64, size int, ok bool) {
	if len(b) < recordHead {
		return nil, 0, 0, false
	}
	n := binary.LittleEndian.Uint32(b)
	if n == 0 || n > maxRecord || int(n) > len(b)-recordHead {
		return nil, 0, 0, false
	}
	end := recordHead + int(n)
	if checksum(b[:end], seed) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, 0, 0, false
	}
	return b[recordHead:end:end], binary.LittleEndian.Uint64(b[8:]), padded(end), true
}

// eachWrite calls fn with the writes of a body. The value of a deletion is nil, that
// of another write never is; both are parts of the body.
func eachWrite(body []byte, fn func(key, value []byte)) error {
	for len(body) > 0 {
		keyLen, n := binary.Uvarint(body)
		if n <= 0 {
			return errRecord
		}
		body = body[n:]
		valueLen, n := binary.Uvarint(body)
		if n <= 0 {
			return errRecord
		}
		body = body[n:]
		deletion := valueLen == 0
		if !deletion {
			valueLen--
		}
		if keyLen == 0 || keyLen > maxKey || valueLen > maxValue || keyLen+valueLen > uint64(len(body)) {
			return errRecord
		}
		end := keyLen + valueLen
		key, value := body[:keyLen:keyLen], body[keyLen:end:end]
		if deletion {
			value = nil
		}
		fn(key, value)
		body = body[end:]
	}
	return nil
}
