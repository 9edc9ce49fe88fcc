// The smallest agent that pays: $12 to Stripe, with the official SDK and not a word about outgo.
//   go build -o agent . && STRIPE_API_KEY=sk_test_… outgo run -- ./agent
// outgo's policy decides whether the payment is made, held for a person, or refused with an ordinary *stripe.Error.

package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/stripe/stripe-go/v86"
)

func main() {
	client := stripe.NewClient(os.Getenv("STRIPE_API_KEY"))
	intent, err := client.V1PaymentIntents.Create(context.Background(), &stripe.PaymentIntentCreateParams{
		Amount:        stripe.Int64(1200),
		Currency:      stripe.String("usd"),
		Confirm:       stripe.Bool(true),
		PaymentMethod: stripe.String("pm_card_visa"),
		AutomaticPaymentMethods: &stripe.PaymentIntentCreateAutomaticPaymentMethodsParams{
			Enabled: stripe.Bool(true), AllowRedirects: stripe.String("never"),
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(intent.Status, "$12", intent.ID)
}
