package main

import (
	"context"

	"github.com/stripe/stripe-go/v86"
)

func billing(c *stripe.Client) []call {
	ctx := context.Background()
	return []call{
		{"draft invoice", func() error {
			return only(c.V1Invoices.Create(ctx, &stripe.InvoiceCreateParams{Customer: stripe.String("cus_141"), AutoAdvance: stripe.Bool(false)}))
		}},
		{"invoice that charges by itself", func() error {
			return only(c.V1Invoices.Create(ctx, &stripe.InvoiceCreateParams{Customer: stripe.String("cus_142"), AutoAdvance: stripe.Bool(true),
				PendingInvoiceItemsBehavior: stripe.String("include")}))
		}},
		{"finalization", func() error {
			return only(c.V1Invoices.FinalizeInvoice(ctx, "in_143", &stripe.InvoiceFinalizeInvoiceParams{AutoAdvance: stripe.Bool(true)}))
		}},
		{"payment of an invoice", func() error { return only(c.V1Invoices.Pay(ctx, "in_144", nil)) }},
		{"invoice paid elsewhere", func() error {
			return only(c.V1Invoices.Pay(ctx, "in_145", &stripe.InvoicePayParams{PaidOutOfBand: stripe.Bool(true)}))
		}},
		{"invoice sent", func() error { return only(c.V1Invoices.SendInvoice(ctx, "in_146", nil)) }},
		{"invoice item", func() error {
			return only(c.V1InvoiceItems.Create(ctx, &stripe.InvoiceItemCreateParams{Customer: stripe.String("cus_147"), Amount: stripe.Int64(650), Currency: stripe.String("usd"), Description: stripe.String("One-time setup fee")}))
		}},
		{"subscription", func() error {
			return only(c.V1Subscriptions.Create(ctx, &stripe.SubscriptionCreateParams{Customer: stripe.String("cus_148"), Items: []*stripe.SubscriptionCreateItemParams{{Quantity: stripe.Int64(3),
				PriceData: &stripe.SubscriptionCreateItemPriceDataParams{Currency: stripe.String("eur"), UnitAmount: stripe.Int64(700), Product: stripe.String("prod_1"),
					Recurring: &stripe.SubscriptionCreateItemPriceDataRecurringParams{Interval: stripe.String("month")}}}}}))
		}},
		{"subscription to a price", func() error {
			return only(c.V1Subscriptions.Create(ctx, &stripe.SubscriptionCreateParams{Customer: stripe.String("cus_149"), TrialPeriodDays: stripe.Int64(30),
				Items: []*stripe.SubscriptionCreateItemParams{{Price: stripe.String("price_149")}}}))
		}},
		{"update of a subscription", func() error {
			return only(c.V1Subscriptions.Update(ctx, "sub_150", &stripe.SubscriptionUpdateParams{ProrationBehavior: stripe.String("always_invoice"),
				Items: []*stripe.SubscriptionUpdateItemParams{{ID: stripe.String("si_QXhVBoJ7NQdNXh"), Price: stripe.String("price_150"), Quantity: stripe.Int64(5)}}}))
		}},
		{"cancellation of a subscription", func() error { return only(c.V1Subscriptions.Cancel(ctx, "sub_151", nil)) }},
		{"cancellation with an invoice", func() error {
			return only(c.V1Subscriptions.Cancel(ctx, "sub_152", &stripe.SubscriptionCancelParams{InvoiceNow: stripe.Bool(true), Prorate: stripe.Bool(true)}))
		}},
		{"quote accepted", func() error { return only(c.V1Quotes.Accept(ctx, "qt_156", nil)) }},
		{"credit note", func() error {
			return only(c.V1CreditNotes.Create(ctx, &stripe.CreditNoteCreateParams{Invoice: stripe.String("in_157"), Amount: stripe.Int64(200)}))
		}},
	}
}

func sales(c *stripe.Client) []call {
	ctx := context.Background()
	success := stripe.String("https://shop.example/success")
	return []call{
		{"checkout session", func() error {
			return only(c.V1CheckoutSessions.Create(ctx, &stripe.CheckoutSessionCreateParams{Mode: stripe.String("payment"), SuccessURL: success,
				LineItems: []*stripe.CheckoutSessionCreateLineItemParams{{Quantity: stripe.Int64(2), PriceData: &stripe.CheckoutSessionCreateLineItemPriceDataParams{Currency: stripe.String("usd"),
					UnitAmount: stripe.Int64(1500), ProductData: &stripe.CheckoutSessionCreateLineItemPriceDataProductDataParams{Name: stripe.String("T-shirt")}}}}}))
		}},
		{"checkout session that saves a card", func() error {
			return only(c.V1CheckoutSessions.Create(ctx, &stripe.CheckoutSessionCreateParams{Mode: stripe.String("setup"), Currency: stripe.String("usd"), SuccessURL: success, Customer: stripe.String("cus_154")}))
		}},
		{"payment link", func() error {
			return only(c.V1PaymentLinks.Create(ctx, &stripe.PaymentLinkCreateParams{LineItems: []*stripe.PaymentLinkCreateLineItemParams{{Price: stripe.String("price_155"), Quantity: stripe.Int64(1)}}}))
		}},
		{"coupon", func() error {
			return only(c.V1Coupons.Create(ctx, &stripe.CouponCreateParams{PercentOff: stripe.Float64(25.5), Duration: stripe.String("repeating"), DurationInMonths: stripe.Int64(3)}))
		}},
		{"product", func() error {
			return only(c.V1Products.Create(ctx, &stripe.ProductCreateParams{Name: stripe.String("Gold Special"), Active: stripe.Bool(false), Metadata: map[string]string{"amount": "999999"}}))
		}},
		{"price", func() error {
			return only(c.V1Prices.Create(ctx, &stripe.PriceCreateParams{UnitAmount: stripe.Int64(2000), Currency: stripe.String("usd"), Product: stripe.String("prod_1"),
				Recurring: &stripe.PriceCreateRecurringParams{Interval: stripe.String("month")}}))
		}},
	}
}
