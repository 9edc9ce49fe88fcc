package proxy

import (
	"testing"
	"time"

	"github.com/outgo/outgo/proxy/upstream"
	"github.com/outgo/outgo/rails"
)

// stripeHead is what Stripe's SDK for Python sends in front of a payment.
const stripeHead = "POST /v1/payment_intents HTTP/1.1\r\nHost: api.stripe.com\r\nX-Stripe-Client-User-Agent: {\"bindings_version\": \"12.0.1\", \"lang\": \"python\", \"publisher\": \"stripe\"}\r\n" +
	"User-Agent: Stripe/v1 PythonBindings/12.0.1\r\nAuthorization: Bearer sk_test_0123456789abcdefghijklmnopqrstuvwxyz\r\nStripe-Version: 2025-04-30.basil\r\n" +
	"Content-Type: application/x-www-form-urlencoded\r\nIdempotency-Key: 0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9\r\nAccept-Encoding: gzip, deflate, br\r\nAccept: */*\r\n" +
	"Connection: keep-alive\r\nContent-Length: 48\r\n\r\n"

// stripeReply is how Stripe answers it.
func stripeReply() upstream.Reply {
	r := upstream.Reply{Status: 200, Reason: "OK", Length: 1500, Body: make([]byte, 1500)}
	for _, f := range [][2]string{
		{"Server", "nginx"}, {"Date", "Sat, 21 Nov 2026 20:00:00 GMT"}, {"Content-Type", "application/json"}, {"Content-Length", "1500"}, {"Connection", "keep-alive"},
		{"Access-Control-Allow-Credentials", "true"}, {"Access-Control-Allow-Methods", "GET, HEAD, PUT, PATCH, POST, DELETE"}, {"Access-Control-Allow-Origin", "*"},
		{"Cache-Control", "no-cache, no-store"}, {"Idempotency-Key", "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"}, {"Original-Request", "req_0123456789abcd"},
		{"Request-Id", "req_0123456789abcd"}, {"Stripe-Should-Retry", "false"}, {"Stripe-Version", "2025-04-30.basil"}, {"Vary", "Origin"}, {"Strict-Transport-Security", "max-age=63072000"},
	} {
		r.Fields = append(r.Fields, rails.Field{Name: f[0], Value: f[1]})
	}
	return r
}

// BenchmarkGuarded is what the way through a guarded tunnel costs beside the judging, the
// waiting and the kernel.
func BenchmarkGuarded(b *testing.B) {
	b.Run("read the head", func(b *testing.B) {
		w := &wire{buf: []byte(stripeHead), times: &Timeouts{}}
		b.ReportAllocs()
		for b.Loop() {
			end, fault, err := w.findHead()
			if err == nil && fault == nil {
				fault = w.head.parse(string(w.buf[:end]))
			}
			if err != nil || fault != nil {
				b.Fatal(err, fault)
			}
		}
	})
	var h head
	if fault := h.parse(stripeHead); fault != nil {
		b.Fatal(fault)
	}
	b.Run("validate it", func(b *testing.B) {
		for b.Loop() {
			if r := validate(&h, "api.stripe.com", 443); r != nil {
				b.Fatal(r)
			}
		}
	})
	b.Run("write the request", func(b *testing.B) {
		var room []byte
		for b.Loop() {
			room = appendRequest(room[:0], "api.stripe.com", 443, false, h.method, h.target, h.fields, func(name string) bool { return equalsAny(name, "Accept-Encoding") })
		}
	})
	reply := stripeReply()
	b.Run("sift the reply", func(b *testing.B) {
		r := upstream.Reply{}
		for b.Loop() {
			r.Fields = append(r.Fields[:0], reply.Fields...)
			sift(&r)
		}
	})
	sift(&reply)
	b.Run("keep it", func(b *testing.B) {
		b.ReportAllocs()
		var room []byte
		for b.Loop() {
			_, _, room = keep(&reply, room)
		}
	})
	b.Run("answer with it", func(b *testing.B) {
		x := &exchange{p: &Proxy{clock: time.Now}, out: reply}
		for b.Loop() {
			x.scratch = x.appendAnswer(x.scratch[:0], false)
		}
	})
}
