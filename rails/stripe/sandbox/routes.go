package sandbox

import (
	"net/http"
	"strings"
)

// route is one operation. params are the top-level parameters that Stripe's
// OpenAPI description names for it.
type route struct {
	method, path string // "{id}" stands for one segment
	params       string
	do           func(*call) (any, *Error)
	shape        object // what it answers with, or lists; nil for the balance
}

// routes returns every operation that the sandbox knows.
func routes() []route {
	const (
		get, post = http.MethodGet, http.MethodPost
		paging    = "created ending_before expand limit starting_after "
	)
	return []route{
		{post, "/v1/payment_intents", "allowed_payment_method_types amount amount_details application_fee_amount " +
			"automatic_payment_methods capture_method confirm confirmation_method confirmation_token currency customer " +
			"customer_account description error_on_requires_action excluded_payment_method_types expand hooks mandate mandate_data " +
			"metadata off_session on_behalf_of payment_details payment_method payment_method_configuration payment_method_data " +
			"payment_method_options payment_method_types radar_options receipt_email return_url setup_future_usage shipping " +
			"statement_descriptor statement_descriptor_suffix transfer_data transfer_group use_stripe_sdk", createIntent, &paymentIntent{}},
		{get, "/v1/payment_intents", paging + "customer customer_account", listIntents, &paymentIntent{}},
		{get, "/v1/payment_intents/{id}", "client_secret expand", onIntent(showIntent), &paymentIntent{}},
		{post, "/v1/payment_intents/{id}", "allowed_payment_method_types amount amount_details application_fee_amount " +
			"capture_method currency customer customer_account description excluded_payment_method_types expand hooks metadata " +
			"payment_details payment_method payment_method_configuration payment_method_data payment_method_options " +
			"payment_method_types receipt_email setup_future_usage shipping statement_descriptor statement_descriptor_suffix " +
			"transfer_data transfer_group", onIntent(updateIntent), &paymentIntent{}},
		{post, "/v1/payment_intents/{id}/confirm", "allowed_payment_method_types amount_details amount_to_confirm capture_method " +
			"client_secret confirmation_token error_on_requires_action excluded_payment_method_types expand hooks mandate mandate_data " +
			"off_session payment_details payment_method payment_method_data payment_method_options payment_method_types radar_options " +
			"receipt_email return_url setup_future_usage shipping use_stripe_sdk", onIntent(confirmIntent), &paymentIntent{}},
		{post, "/v1/payment_intents/{id}/capture", "amount_details amount_to_capture application_fee_amount expand final_capture " +
			"hooks metadata payment_details statement_descriptor statement_descriptor_suffix transfer_data", onIntent(captureIntent), &paymentIntent{}},
		{post, "/v1/payment_intents/{id}/cancel", "cancellation_reason expand", onIntent(cancelIntent), &paymentIntent{}},
		{post, "/v1/payment_intents/{id}/increment_authorization", "amount amount_details application_fee_amount description expand " +
			"hooks metadata payment_details statement_descriptor transfer_data", onIntent(incrementIntent), &paymentIntent{}},

		{post, "/v1/charges", "amount application_fee application_fee_amount capture card currency customer description destination " +
			"expand metadata on_behalf_of radar_options receipt_email shipping source statement_descriptor " +
			"statement_descriptor_suffix transfer_data transfer_group", createCharge, &charge{}},
		{get, "/v1/charges", paging + "customer payment_intent transfer_group", listCharges, &charge{}},
		{get, "/v1/charges/{id}", "expand", showCharge, &charge{}},
		{post, "/v1/charges/{id}/capture", "amount application_fee application_fee_amount expand receipt_email " +
			"statement_descriptor statement_descriptor_suffix transfer_data transfer_group", captureCharge, &charge{}},

		{post, "/v1/refunds", "amount charge currency customer expand instructions_email metadata origin payment_intent reason " +
			"refund_application_fee reverse_transfer", createRefund, &refund{}},
		{get, "/v1/refunds", paging + "charge payment_intent", listRefunds, &refund{}},
		{get, "/v1/refunds/{id}", "expand", showRefund, &refund{}},

		{post, "/v1/transfers", "amount currency description destination expand metadata source_transaction source_type " +
			"transfer_group", createTransfer, &transfer{}},
		{get, "/v1/transfers", paging + "destination transfer_group", listTransfers, &transfer{}},
		{get, "/v1/transfers/{id}", "expand", showTransfer, &transfer{}},
		{post, "/v1/payouts", "amount currency description destination expand metadata method payout_method source_type " +
			"statement_descriptor", createPayout, &payout{}},
		{get, "/v1/payouts", paging + "arrival_date destination status", listPayouts, &payout{}},
		{get, "/v1/payouts/{id}", "expand", showPayout, &payout{}},
		{get, "/v1/balance", "expand", showBalance, nil},
		{get, "/v1/events", paging + "delivery_success type types", listEvents, &event{}},
		{get, "/v1/events/{id}", "expand", showEvent, &event{}},

		{post, "/v1/customers", "address balance business_name cash_balance description email expand individual_name invoice_prefix " +
			"invoice_settings metadata name next_invoice_sequence payment_method phone preferred_locales shipping source tax " +
			"tax_exempt tax_id_data test_clock", createCustomer, &customer{}},
		{get, "/v1/customers", paging + "email test_clock", listCustomers, &customer{}},
		{get, "/v1/customers/{id}", "expand", showCustomer, &customer{}},
	}
}

// match finds the route of a call and the identifier in its path. The path is
// taken as it stands: no cleaning, no decoding.
func (s *Server) match(r *http.Request) (route, string, *Error) {
	segments := strings.Split(r.URL.EscapedPath(), "/")
	for _, rt := range s.routes {
		if rt.method != r.Method {
			continue
		}
		want := strings.Split(rt.path, "/")
		if len(want) != len(segments) {
			continue
		}
		id, ok := "", true
		for i := range want {
			if want[i] == "{id}" && segments[i] != "" {
				id = segments[i]
			} else if want[i] != segments[i] {
				ok = false
			}
		}
		if ok {
			return rt, id, nil
		}
	}
	return route{}, "", invalid(http.StatusNotFound, "", "", "Unrecognized request URL ("+r.Method+": "+r.URL.EscapedPath()+
		"). Please see https://stripe.com/docs or we can help at https://support.stripe.com/.")
}
