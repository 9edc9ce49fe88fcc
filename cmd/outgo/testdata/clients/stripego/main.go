// Stripego is an ordinary stripe-go program, with the SDK's defaults: it creates
// and confirms one PaymentIntent and prints one line of JSON. It knows nothing of
// outgo.
//
//	go run . 1200 usd
//
// STRIPE_API_KEY is the key. STRIPE_API_BASE, such as http://127.0.0.1:12111, is
// where to send it instead of Stripe; PAYMENT_METHOD is the test card.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/stripe/stripe-go/v86"
)

type result struct {
	OK         bool   `json:"ok"`
	ID         string `json:"id,omitempty"`
	Status     string `json:"status,omitempty"`
	Amount     int64  `json:"amount,omitempty"`
	Type       string `json:"type,omitempty"`
	Code       string `json:"code,omitempty"`
	Message    string `json:"message,omitempty"`
	StatusCode int    `json:"statusCode,omitempty"`
	RequestID  string `json:"requestId,omitempty"`
}

func main() {
	r := pay()
	line, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
	if !r.OK {
		os.Exit(1)
	}
}

func pay() result {
	if len(os.Args) != 3 {
		return result{Type: "usage", Message: "usage: stripego AMOUNT CURRENCY"}
	}
	amount, err := strconv.ParseInt(os.Args[1], 10, 64)
	if err != nil {
		return result{Type: "usage", Message: err.Error()}
	}
	var options []stripe.ClientOption
	if base := os.Getenv("STRIPE_API_BASE"); base != "" {
		options = append(options, stripe.WithBackends(stripe.NewBackendsWithConfig(&stripe.BackendConfig{URL: stripe.String(base)})))
	}
	client := stripe.NewClient(cmp.Or(os.Getenv("STRIPE_API_KEY"), "sk_test_outgo"), options...)
	intent, err := client.V1PaymentIntents.Create(context.Background(), &stripe.PaymentIntentCreateParams{
		Amount:        stripe.Int64(amount),
		Currency:      stripe.String(os.Args[2]),
		Confirm:       stripe.Bool(true),
		PaymentMethod: stripe.String(cmp.Or(os.Getenv("PAYMENT_METHOD"), "pm_card_visa")),
		AutomaticPaymentMethods: &stripe.PaymentIntentCreateAutomaticPaymentMethodsParams{
			Enabled: stripe.Bool(true), AllowRedirects: stripe.String("never"),
		},
	})
	if err == nil {
		return result{OK: true, ID: intent.ID, Status: string(intent.Status), Amount: intent.Amount}
	}
	var refused *stripe.Error
	if errors.As(err, &refused) {
		return result{Type: string(refused.Type), Code: string(refused.Code), Message: refused.Msg, StatusCode: refused.HTTPStatusCode, RequestID: refused.RequestID}
	}
	return result{Type: "connection_error", Message: err.Error()}
}
