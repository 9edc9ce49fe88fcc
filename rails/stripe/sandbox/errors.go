package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Error is a refusal in Stripe's own shape. A hook may return one.
type Error struct {
	Status  int    // HTTP status
	Type    string // invalid_request_error, card_error, idempotency_error or api_error
	Code    string // https://docs.stripe.com/error-codes; "" for none
	Message string
	Param   string
	// DeclineCode and Charge belong to card errors.
	DeclineCode, Charge string

	intent *paymentIntent // what became of the PaymentIntent, if one is concerned
}

// Error returns the status, the code and the message.
func (e *Error) Error() string {
	return fmt.Sprintf("%d %s: %s", e.Status, first(e.Code, e.Type), e.Message)
}

// errorObject is the value of "error", and of last_payment_error.
type errorObject struct {
	Charge        string         `json:"charge,omitempty"`
	Code          string         `json:"code,omitempty"`
	DeclineCode   string         `json:"decline_code,omitempty"`
	DocURL        string         `json:"doc_url,omitempty"`
	Message       string         `json:"message,omitempty"`
	Param         string         `json:"param,omitempty"`
	PaymentIntent *paymentIntent `json:"payment_intent,omitempty"`
	Type          string         `json:"type"`
}

func (e *Error) object() errorObject {
	o := errorObject{
		Charge: e.Charge, Code: e.Code, DeclineCode: e.DeclineCode, Message: e.Message,
		Param: e.Param, PaymentIntent: e.intent, Type: e.Type,
	}
	if e.Code != "" {
		o.DocURL = "https://stripe.com/docs/error-codes/" + strings.ReplaceAll(e.Code, "_", "-")
	}
	return o
}

func (e *Error) reply() reply {
	body, err := json.MarshalIndent(map[string]errorObject{"error": e.object()}, "", "  ")
	if err != nil {
		body = []byte(`{"error":{"type":"api_error"}}`)
	}
	re := reply{status: e.Status, body: append(body, '\n')}
	if e.Status == http.StatusUnauthorized {
		re.header = map[string]string{"Www-Authenticate": `Basic realm="Stripe"`}
	}
	return re
}

// invalid makes an invalid_request_error.
func invalid(status int, code, param, message string) *Error {
	return &Error{Status: status, Type: "invalid_request_error", Code: code, Param: param, Message: message}
}

// badRequest makes the most common one, a 400.
func badRequest(code, param, format string, args ...any) *Error {
	return invalid(http.StatusBadRequest, code, param, fmt.Sprintf(format, args...))
}

// missing says that the object in the path does not exist: a 404.
func missing(kind, param, id string) *Error {
	return invalid(http.StatusNotFound, "resource_missing", param, fmt.Sprintf("No such %s: '%s'", kind, id))
}

// noSuch says that an object named in a parameter does not exist: a 400.
func noSuch(kind, param, id string) *Error {
	return badRequest("resource_missing", param, "No such %s: '%s'", kind, id)
}

// unexpectedState says that a PaymentIntent cannot do that now.
func unexpectedState(pi *paymentIntent, format string, args ...any) *Error {
	e := badRequest("payment_intent_unexpected_state", "", format, args...)
	e.intent = pi.clone().(*paymentIntent)
	return e
}
