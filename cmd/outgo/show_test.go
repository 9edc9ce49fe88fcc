package main

import "testing"

func TestAmountsAreShownAsPeopleWriteThem(t *testing.T) {
	for _, c := range []struct{ minor, unit, want string }{
		{"1200", "USD", "12.00 USD"},
		{"5", "EUR", "0.05 EUR"},
		{"-250", "USD", "-2.50 USD"},
		{"1200", "JPY", "1200 JPY"},
		{"1200", "KWD", "1.200 KWD"},
		{"unlimited", "USD", "unlimited USD (smallest unit)"},
		{"7", "eip155:1/slip44:60", "7 eip155:1/slip44:60 (smallest unit)"},
	} {
		if got := money(c.minor, c.unit); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.minor, c.unit, got, c.want)
		}
	}
}
