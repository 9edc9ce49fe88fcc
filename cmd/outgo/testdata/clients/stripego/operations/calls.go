package main

import (
	"context"
	"strings"

	"github.com/stripe/stripe-go/v86"
)

func payments(c *stripe.Client) []call {
	ctx := context.Background()
	charge := func(amount int64, currency string) *stripe.ChargeCreateParams {
		return &stripe.ChargeCreateParams{Amount: stripe.Int64(amount), Currency: stripe.String(currency), Source: &stripe.PaymentSourceSourceParams{Token: stripe.String("tok_visa")}}
	}
	return []call{
		{"charge", func() error {
			p := charge(2000, "usd")
			p.Description = stripe.String("Charge for jenny & co; 50% = \"half\"")
			return only(c.V1Charges.Create(ctx, p))
		}},
		{"charge in yen for another account", func() error {
			p := charge(5000, "jpy")
			p.TransferData = &stripe.ChargeCreateTransferDataParams{Destination: stripe.String("acct_7")}
			return only(c.V1Charges.Create(ctx, p))
		}},
		{"charge held only", func() error {
			p := charge(2001, "usd")
			p.Capture = stripe.Bool(false)
			return only(c.V1Charges.Create(ctx, p))
		}},
		{"charge of a connected account", func() error {
			p := charge(300, "usd")
			p.SetStripeAccount("acct_8")
			return only(c.V1Charges.Create(ctx, p))
		}},
		{"capture of a part of a charge", func() error {
			return only(c.V1Charges.Capture(ctx, "ch_105", &stripe.ChargeCaptureParams{Amount: stripe.Int64(60)}))
		}},
		{"capture of a charge", func() error { return only(c.V1Charges.Capture(ctx, "ch_106", nil)) }},
		{"update of a charge", func() error {
			return only(c.V1Charges.Update(ctx, "ch_107", &stripe.ChargeUpdateParams{Metadata: map[string]string{"order_id": "6735"}}))
		}},
		{"payment intent", func() error {
			return only(c.V1PaymentIntents.Create(ctx, &stripe.PaymentIntentCreateParams{Amount: stripe.Int64(1099), Currency: stripe.String("eur"),
				AutomaticPaymentMethods: &stripe.PaymentIntentCreateAutomaticPaymentMethodsParams{Enabled: stripe.Bool(true)}}))
		}},
		{"payment intent in dinar, confirmed", func() error {
			return only(c.V1PaymentIntents.Create(ctx, &stripe.PaymentIntentCreateParams{Amount: stripe.Int64(12340), Currency: stripe.String("kwd"),
				Confirm: stripe.Bool(true), PaymentMethod: stripe.String("pm_card_visa"), OffSession: stripe.Bool(true)}))
		}},
		{"update of a payment intent", func() error {
			return only(c.V1PaymentIntents.Update(ctx, "pi_110", &stripe.PaymentIntentUpdateParams{Amount: stripe.Int64(999999)}))
		}},
		{"confirmation", func() error {
			return only(c.V1PaymentIntents.Confirm(ctx, "pi_111", &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String("pm_card_visa"), ReturnURL: stripe.String("https://shop.example/back?a=1&b=2")}))
		}},
		{"capture of a payment intent", func() error {
			return only(c.V1PaymentIntents.Capture(ctx, "pi_112", &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(750)}))
		}},
		{"increment", func() error {
			return only(c.V1PaymentIntents.IncrementAuthorization(ctx, "pi_113", &stripe.PaymentIntentIncrementAuthorizationParams{Amount: stripe.Int64(2099)}))
		}},
		{"cancellation of a payment intent", func() error {
			return only(c.V1PaymentIntents.Cancel(ctx, "pi_114", &stripe.PaymentIntentCancelParams{CancellationReason: stripe.String("duplicate")}))
		}},
		{"refund of a part", func() error {
			return only(c.V1Refunds.Create(ctx, &stripe.RefundCreateParams{Charge: stripe.String("ch_115"), Amount: stripe.Int64(40), Reason: stripe.String("requested_by_customer")}))
		}},
		{"refund without an amount", func() error {
			return only(c.V1Refunds.Create(ctx, &stripe.RefundCreateParams{Charge: stripe.String("ch_116")}))
		}},
		{"refund of a payment intent", func() error {
			return only(c.V1Refunds.Create(ctx, &stripe.RefundCreateParams{PaymentIntent: stripe.String("pi_117")}))
		}},
		{"update of a refund", func() error {
			return only(c.V1Refunds.Update(ctx, "re_118", &stripe.RefundUpdateParams{Metadata: map[string]string{"a": "b"}}))
		}},
	}
}

func balances(c *stripe.Client) []call {
	ctx := context.Background()
	usd, eur := stripe.String("usd"), stripe.String("eur")
	return []call{
		{"transfer", func() error {
			return only(c.V1Transfers.Create(ctx, &stripe.TransferCreateParams{Amount: stripe.Int64(400), Currency: usd, Destination: stripe.String("acct_9"), TransferGroup: stripe.String("ORDER_95")}))
		}},
		{"reversal of a transfer", func() error {
			return only(c.V1TransferReversals.Create(ctx, &stripe.TransferReversalCreateParams{ID: stripe.String("tr_120"), Amount: stripe.Int64(100)}))
		}},
		{"payout", func() error {
			return only(c.V1Payouts.Create(ctx, &stripe.PayoutCreateParams{Amount: stripe.Int64(1100), Currency: eur, Destination: stripe.String("ba_1"), Method: stripe.String("instant")}))
		}},
		{"cancellation of a topup", func() error { return only(c.V1Topups.Cancel(ctx, "tu_122", nil)) }},
		{"reversal of a payout", func() error { return only(c.V1Payouts.Reverse(ctx, "po_123", nil)) }},
		{"refund of an application fee", func() error {
			return only(c.V1FeeRefunds.Create(ctx, &stripe.FeeRefundCreateParams{ID: stripe.String("fee_124"), Amount: stripe.Int64(25)}))
		}},
		{"topup", func() error {
			return only(c.V1Topups.Create(ctx, &stripe.TopupCreateParams{Amount: stripe.Int64(2500), Currency: usd, Description: stripe.String("Top-up for Jenny"), Source: stripe.String("src_1")}))
		}},
		{"outbound payment", func() error {
			return only(c.V1TreasuryOutboundPayments.Create(ctx, &stripe.TreasuryOutboundPaymentCreateParams{FinancialAccount: stripe.String("fa_139"), Amount: stripe.Int64(10000), Currency: usd,
				Customer: stripe.String("cus_139"), DestinationPaymentMethod: stripe.String("pm_2")}))
		}},
		{"outbound transfer", func() error {
			return only(c.V1TreasuryOutboundTransfers.Create(ctx, &stripe.TreasuryOutboundTransferCreateParams{FinancialAccount: stripe.String("fa_140"), Amount: stripe.Int64(500), Currency: usd,
				DestinationPaymentMethod: stripe.String("pm_3")}))
		}},
		{"approval of an authorization", func() error {
			return only(c.V1IssuingAuthorizations.Approve(ctx, "iauth_138", &stripe.IssuingAuthorizationApproveParams{Amount: stripe.Int64(900)}))
		}},
		{"dispute closed", func() error { return only(c.V1Disputes.Close(ctx, "dp_158", nil)) }},
		{"balance", func() error { return only(c.V1Balance.Retrieve(ctx, nil)) }},
	}
}

func accounts(c *stripe.Client) []call {
	ctx := context.Background()
	return []call{
		{"customer", func() error {
			return only(c.V1Customers.Create(ctx, &stripe.CustomerCreateParams{Email: stripe.String("jenny+rosen@example.com"), Name: stripe.String("Jenny Rosen"),
				Address: &stripe.AddressParams{City: stripe.String("Köln"), Country: stripe.String("DE")}}))
		}},
		{"customer with credit", func() error {
			return only(c.V1Customers.Create(ctx, &stripe.CustomerCreateParams{Email: stripe.String("jenny@example.com"), Balance: stripe.Int64(-5000)}))
		}},
		{"credit for a customer", func() error {
			return only(c.V1Customers.Update(ctx, "cus_128", &stripe.CustomerUpdateParams{Balance: stripe.Int64(-5000)}))
		}},
		{"update of a customer", func() error {
			return only(c.V1Customers.Update(ctx, "cus_129", &stripe.CustomerUpdateParams{Description: stripe.String(""), Metadata: map[string]string{"order_id": "6735"}}))
		}},
		{"balance transaction", func() error {
			return only(c.V1CustomerBalanceTransactions.Create(ctx, &stripe.CustomerBalanceTransactionCreateParams{Customer: stripe.String("cus_130"), Amount: stripe.Int64(-500), Currency: stripe.String("usd")}))
		}},
		{"card saved", func() error {
			return only(c.V1PaymentSources.Create(ctx, &stripe.PaymentSourceCreateParams{Customer: stripe.String("cus_131"), Source: &stripe.PaymentSourceSourceParams{Token: stripe.String("tok_mastercard")}}))
		}},
		{"setup intent", func() error {
			return only(c.V1SetupIntents.Create(ctx, &stripe.SetupIntentCreateParams{PaymentMethodTypes: []*string{stripe.String("card")}, Confirm: stripe.Bool(true), PaymentMethod: stripe.String("pm_card_visa")}))
		}},
		{"payment method attached", func() error {
			return only(c.V1PaymentMethods.Attach(ctx, "pm_133", &stripe.PaymentMethodAttachParams{Customer: stripe.String("cus_133")}))
		}},
		{"account", func() error {
			return only(c.V1Accounts.Create(ctx, &stripe.AccountCreateParams{Type: stripe.String("custom"), Country: stripe.String("US"), Email: stripe.String("jenny@example.com"),
				Capabilities: &stripe.AccountCreateCapabilitiesParams{Transfers: &stripe.AccountCreateCapabilitiesTransfersParams{Requested: stripe.Bool(true)}}}))
		}},
		{"account link", func() error {
			return only(c.V1AccountLinks.Create(ctx, &stripe.AccountLinkCreateParams{Account: stripe.String("acct_135"), RefreshURL: stripe.String("https://shop.example/reauth"),
				ReturnURL: stripe.String("https://shop.example/return"), Type: stripe.String("account_onboarding")}))
		}},
		{"external account", func() error {
			return only(c.V1BankAccounts.Create(ctx, &stripe.BankAccountCreateParams{Account: stripe.String("acct_136"), Token: stripe.String("btok_1")}))
		}},
		{"issued card", func() error {
			return only(c.V1IssuingCards.Create(ctx, &stripe.IssuingCardCreateParams{Cardholder: stripe.String("ich_1"), Currency: stripe.String("usd"), Type: stripe.String("virtual"),
				SpendingControls: &stripe.IssuingCardCreateSpendingControlsParams{SpendingLimits: []*stripe.IssuingCardCreateSpendingControlsSpendingLimitParams{{Amount: stripe.Int64(50000), Interval: stripe.String("daily")}}}}))
		}},
		{"webhook endpoint", func() error {
			return only(c.V1WebhookEndpoints.Create(ctx, &stripe.WebhookEndpointCreateParams{URL: stripe.String("https://shop.example/my/webhook/endpoint"),
				EnabledEvents: []*string{stripe.String("charge.failed"), stripe.String("charge.succeeded")}}))
		}},
		{"ephemeral key", func() error {
			return only(c.V1EphemeralKeys.Create(ctx, &stripe.EphemeralKeyCreateParams{Customer: stripe.String("cus_163"), StripeVersion: stripe.String("2026-08-26.dahlia")}))
		}},
		{"file", func() error {
			return only(c.V1Files.Create(ctx, &stripe.FileCreateParams{Purpose: stripe.String("dispute_evidence"), Filename: stripe.String("note.txt"), FileReader: strings.NewReader("amount=999999&confirm=true")}))
		}},
	}
}
