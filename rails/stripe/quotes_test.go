package stripe

import (
	"strings"
	"testing"
)

func TestQuotes(t *testing.T) {
	const accept, onQuote = "POST /v1/quotes/qt_1/accept", " on quotes/qt_1"
	quote := func(edits ...string) []string {
		s := "GET /v1/quotes/qt_1?expand[]=line_items => {'object':'quote','id':'qt_1','amount_total':6000,'total_details':{'amount_discount':0},'currency':'usd','customer':'cus_1'" +
			",'computed':{'upfront':{'amount_total':6000},'recurring':{'amount_total':1000,'total_details':{'amount_discount':0}}},'subscription_data':{'trial_period_days':null,'effective_date':null}" +
			",'transfer_data':null,'line_items':{'object':'list','has_more':false,'data':[{'object':'item','price':" + price("price_1", "1000", "usd") + "}]}}"
		for i := 0; i < len(edits); i += 2 {
			s = strings.ReplaceAll(s, edits[i], edits[i+1])
		}
		return []string{s}
	}
	judgeAll(t, map[string]bills{
		"what it comes to":            {call: accept, answers: quote(), want: "spend charge 6000 USD" + onQuote},
		"its discounts do not count":  {call: accept, answers: quote("'amount_discount':0},'currency'", "'amount_discount':500},'currency'"), want: "spend charge 6500 USD" + onQuote},
		"with a trial":                {call: accept, answers: quote("'trial_period_days':null", "'trial_period_days':30"), want: "spend charge 7000 USD" + onQuote},
		"of a subscription alone":     {call: accept, answers: quote("6000", "0"), want: "spend charge 1000 USD" + onQuote},
		"without a subscription":      {call: accept, answers: quote("'recurring':{'amount_total':1000,'total_details':{'amount_discount':0}}", "'recurring':null"), want: "spend charge 6000 USD" + onQuote},
		"passed on":                   {call: accept, answers: quote("'transfer_data':null", "'transfer_data':{'destination':'acct_2'}"), want: "spend charge 6000 USD to acct_2" + onQuote},
		"with a price by usage":       {call: accept, answers: quote("licensed", "metered"), want: "refuse" + onQuote},
		"with more lines":             {call: accept, answers: quote("'has_more':false", "'has_more':true"), want: "refuse" + onQuote},
		"without a currency":          {call: accept, answers: quote("'currency':'usd','customer'", "'customer'"), want: "unavailable"},
		"with a parameter of nobodys": {call: accept, body: "amount=1", want: "refuse" + onQuote},
	})
}

func TestCreditNotes(t *testing.T) {
	const create, onInvoice = "POST /v1/credit_notes", " on invoices/in_1"
	note := func(query, amount string) []string {
		return []string{"GET /v1/credit_notes/preview?" + query + " => {'object':'credit_note','id':'cn_1','amount':" + amount + ",'currency':'jpy','customer':'cus_1'}"}
	}
	judgeAll(t, map[string]bills{
		"of an amount":                   {call: create, body: "invoice=in_1&amount=300&memo=x&metadata[a]=b", answers: note("invoice=in_1&amount=300", "300"), want: "spend refund 300 JPY to cus_1" + onInvoice},
		"of lines":                       {call: create, body: "invoice=in_1&lines[0][type]=invoice_line_item&lines[0][invoice_line_item]=il_1&lines[0][quantity]=2", answers: note("invoice=in_1&lines[0][type]=invoice_line_item&lines[0][invoice_line_item]=il_1&lines[0][quantity]=2", "4000"), want: "spend refund 4000 JPY to cus_1" + onInvoice},
		"of which some is given back":    {call: create, body: "invoice=in_1&amount=500&refund_amount=200", answers: note("invoice=in_1&amount=500&refund_amount=200", "500"), want: "spend refund 500 JPY to cus_1" + onInvoice},
		"of less than it states":         {call: create, body: "invoice=in_1&refund_amount=200", answers: note("invoice=in_1&refund_amount=200", "1"), want: "spend refund 200 JPY to cus_1" + onInvoice},
		"of an amount with a sign":       {call: create, body: "invoice=in_1&amount=-5", want: "refuse MALFORMED"},
		"of nothing":                     {call: create, body: "amount=5", want: "refuse MALFORMED"},
		"of something new":               {call: create, body: "invoice=in_1&percent=5", want: "refuse" + onInvoice},
		"of a preview that is not there": {call: create, body: "invoice=in_1&amount=5", answers: []string{"GET /v1/credit_notes/preview?invoice=in_1&amount=5 => 404"}, want: "unavailable"},
	})
}
