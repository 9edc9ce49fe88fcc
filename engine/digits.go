package engine

import (
	"encoding/hex"
	"fmt"

	"github.com/outgo/outgo/engine/spend"
)

// idLength is that of an id of the engine's.
const idLength = 36

// appendID appends the 16 bytes that id writes in hex.
func appendID(b []byte, id spend.ID) ([]byte, error) {
	from := len(b)
	for i := 0; len(id) == idLength && i < idLength; i++ {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if id[i] != '-' {
				break
			}
			continue
		}
		high, low := digit(id[i]), digit(id[i+1])
		if i++; high|low > 15 {
			break
		}
		b = append(b, high<<4|low)
	}
	if len(b) != from+16 {
		return b[:from], fmt.Errorf("id %.64q is none of the engine's", id)
	}
	return b, nil
}

// readID returns the id of which appendID has written b.
func readID(b [16]byte) spend.ID {
	s := [36]byte{8: '-', 13: '-', 18: '-', 23: '-'}
	hex.Encode(s[:8], b[:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:], b[10:])
	return spend.ID(s[:])
}

// digit is the value of a hex digit in lower case, 255 for another byte.
func digit(c byte) byte {
	if n := c - '0'; n <= 9 {
		return n
	}
	if n := c - 'a'; n <= 5 {
		return n + 10
	}
	return 255
}

// isHex reports whether s is what hex.EncodeToString returns, and long enough for
// that to be no chance.
func isHex(s string) bool {
	if len(s) < 16 || len(s)%2 != 0 {
		return false
	}
	for i := range len(s) {
		if digit(s[i]) > 15 {
			return false
		}
	}
	return true
}

// appendHex appends the bytes that s writes in hex.
func appendHex(b []byte, s string) []byte {
	for i := 0; i+1 < len(s); i += 2 {
		b = append(b, digit(s[i])<<4|digit(s[i+1]))
	}
	return b
}
