// Operations is an ordinary stripe-go program, with the SDK's defaults: it makes
// one call of each kind that ../../operations.tsv lists for it and prints one line
// of JSON for each, in order. It knows nothing of outgo.
//
//	go run ./operations
//
// STRIPE_API_KEY is the key.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/stripe/stripe-go/v86"
)

type result struct {
	Name       string `json:"name"`
	OK         bool   `json:"ok"`
	Type       string `json:"type,omitempty"`
	Code       string `json:"code,omitempty"`
	Message    string `json:"message,omitempty"`
	StatusCode int    `json:"statusCode,omitempty"`
}

func main() {
	client := stripe.NewClient(cmp.Or(os.Getenv("STRIPE_API_KEY"), "sk_test_outgo"))
	for _, calls := range [][]call{payments(client), balances(client), accounts(client), billing(client), sales(client)} {
		for _, c := range calls {
			if err := c.print(); err != nil {
				panic(err)
			}
		}
	}
}

// A call is one use of the SDK, by its name in the table.
type call struct {
	name string
	make func() error
}

func (c *call) print() error {
	r := result{Name: c.name, OK: true}
	if err := c.make(); err != nil {
		r = result{Name: c.name, Type: "connection_error", Message: err.Error()}
		var refused *stripe.Error
		if errors.As(err, &refused) {
			r = result{Name: c.name, Type: string(refused.Type), Code: string(refused.Code), Message: refused.Msg, StatusCode: refused.HTTPStatusCode}
		}
	}
	line, err := json.Marshal(r)
	if err == nil {
		_, err = fmt.Println(string(line))
	}
	return err
}

// only drops what a call made: all that counts is that it was made.
func only[T any](_ T, err error) error { return err }
