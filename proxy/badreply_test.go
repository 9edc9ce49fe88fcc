package proxy_test

import "fmt"

// paidCharge is the least that proves a charge of 2000.
const paidCharge = `{"id":"ch_1","object":"charge","amount":2000,"amount_captured":2000,"currency":"usd","captured":true,"paid":true,"status":"succeeded"}`

// whole is a reply with a length.
func whole(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}
