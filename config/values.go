package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// Integer is a whole number in decimal text, from nought to 2^256-1, as limits
// in a currency's smallest unit need; "" is none. It is text so that no float is
// ever between the file and the ledger.
type Integer string

const maxInteger = "115792089237316195423570985008687907853269984665640564039457584007913129639935"

// UnmarshalText accepts decimal digits without sign, leading zeros, separators,
// fraction or exponent.
func (i *Integer) UnmarshalText(text []byte) error {
	s := string(text)
	switch {
	case s == "" || strings.Trim(s, "0123456789") != "":
		return wrong{fmt.Sprintf("%.80q is not a whole number", s),
			"write digits only, in the smallest unit (10.00 USD is 1000); leave it out or write null for no limit"}
	case len(s) > 1 && s[0] == '0':
		return wrong{fmt.Sprintf("%.80q begins with a zero", s), "write the number without leading zeros"}
	case len(s) > len(maxInteger) || len(s) == len(maxInteger) && s > maxInteger:
		return wrong{fmt.Sprintf("%.80q is larger than 2^256-1", s), "write a smaller number, or null for no limit"}
	}
	*i = Integer(s)
	return nil
}

// Less reports whether i is a smaller number than j; both must be set.
func (i Integer) Less(j Integer) bool {
	if len(i) != len(j) {
		return len(i) < len(j)
	}
	return i < j
}

// Size is a number of bytes.
type Size int64

// UnmarshalText accepts "1048576", "512KiB", "1MiB", "1GiB" and the decimal kB,
// MB and GB.
func (z *Size) UnmarshalText(text []byte) error {
	s := string(text)
	number := strings.TrimRight(s, "BKMGikb ")
	unit, ok := map[string]int64{
		"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
	}[strings.TrimSpace(s[len(number):])]
	n, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || n < 0 || n > math.MaxInt64/unit {
		return wrong{fmt.Sprintf("%.80q is not a size", s), `write a number of bytes with a unit, such as "1MiB"`}
	}
	*z = Size(n * unit)
	return nil
}

// Origin is where calls of one agent come from: an address range, or a local
// user. The zero value is neither.
type Origin struct {
	Net    netip.Prefix // valid when an address or a range was given
	UID    uint32
	HasUID bool
}

// UnmarshalText accepts "10.0.0.0/8", "10.0.0.7", "uid:1000" and "1000".
func (o *Origin) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "" {
		*o = Origin{}
		return nil
	}
	if uid, err := strconv.ParseUint(strings.TrimPrefix(s, "uid:"), 10, 32); err == nil {
		*o = Origin{UID: uint32(uid), HasUID: true}
		return nil
	}
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		*o = Origin{Net: netip.PrefixFrom(ip, ip.BitLen())}
		return nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return wrong{fmt.Sprintf("%.80q is neither an address range nor a user id", s),
			`write a range such as "10.0.0.0/8", or "uid:1000"`}
	}
	if p.Masked() != p {
		return wrong{fmt.Sprintf("%q has bits set behind its mask", s), "write " + p.Masked().String()}
	}
	*o = Origin{Net: p}
	return nil
}

// wrong is a value that does not fit its field: what is wrong, and what to do.
type wrong struct{ what, remedy string }

func (w wrong) Error() string { return w.what + "; " + w.remedy }

// parts splits an error into what is wrong and what to do.
func parts(err error) (what, remedy string) {
	var w wrong
	if errors.As(err, &w) {
		return w.what, w.remedy
	}
	return err.Error(), ""
}
