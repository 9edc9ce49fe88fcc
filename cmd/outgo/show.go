package main

import (
	"strings"

	"github.com/outgo/outgo/rails/stripe"
)

// money shows an amount to a person: "12.00 USD" where the currency's digits are
// known, else the number of its smallest unit, saying so.
func money(minor, unit string) string {
	digits, ok := stripe.Digits(unit)
	number, negative := strings.CutPrefix(minor, "-")
	if !ok || strings.Trim(number, "0123456789") != "" || number == "" {
		return minor + " " + unit + " (smallest unit)"
	}
	if digits > 0 {
		for len(number) <= digits {
			number = "0" + number
		}
		number = number[:len(number)-digits] + "." + number[len(number)-digits:]
	}
	if negative {
		number = "-" + number
	}
	return number + " " + unit
}
