package stripe

import "testing"

// invoice is what Stripe answers for in_1; more are further fields.
func invoice(remaining, currency, advances, more string) string {
	return "GET /v1/invoices/in_1 => {'object':'invoice','id':'in_1','status':'draft','amount_remaining':" + remaining + ",'total':" + remaining +
		",'currency':'" + currency + "','auto_advance':" + advances + ",'automatically_finalizes_at':null,'collection_method':'charge_automatically','customer':'cus_1'" + more + "}"
}

const (
	itemsOf   = "GET /v1/invoiceitems?customer=cus_1&limit=100&pending=true => "
	onDraft   = "other on invoices/in_1"
	unread    = "refuse on invoices/in_1"
	onPending = "other on customers/cus_1"
)

func list(items string) string {
	return itemsOf + "{'object':'list','has_more':false,'data':[" + items + "]}"
}

func pendingItem(amount, currency, more string) string {
	return "{'object':'invoiceitem','id':'ii_1','amount':" + amount + ",'currency':'" + currency + "','tax_rates':[]" + more + "}"
}

func TestInvoicesThatAreThere(t *testing.T) {
	judgeAll(t, map[string]bills{
		"paying spends what remains": {call: "POST /v1/invoices/in_1/pay", answers: []string{invoice("2000", "usd", "false", "")},
			want: "spend charge 2000 USD on invoices/in_1"},
		"paying in a currency without decimals": {call: "POST /v1/invoices/in_1/pay", body: "payment_method=pm_1", answers: []string{invoice("500", "jpy", "false", "")},
			want: "spend charge 500 JPY on invoices/in_1"},
		"paying in a currency with three": {call: "POST /v1/invoices/in_1/pay", answers: []string{invoice("12340", "kwd", "false", "")},
			want: "spend charge 12340 KWD on invoices/in_1"},
		"paying what is passed on": {call: "POST /v1/invoices/in_1/pay", answers: []string{invoice("5", "usd", "false", ",'transfer_data':{'destination':'acct_9'}")},
			want: "spend charge 5 USD to acct_9 on invoices/in_1"},
		"paying nothing":                      {call: "POST /v1/invoices/in_1/pay", answers: []string{invoice("0", "usd", "true", "")}, want: onDraft},
		"what was paid elsewhere":             {call: "POST /v1/invoices/in_1/pay", body: "paid_out_of_band=true", want: onDraft},
		"what was not paid elsewhere":         {call: "POST /v1/invoices/in_1/pay", body: "paid_out_of_band=false", answers: []string{invoice("7", "usd", "false", "")}, want: "spend charge 7 USD on invoices/in_1"},
		"what may have been paid elsewhere":   {call: "POST /v1/invoices/in_1/pay", body: "paid_out_of_band=True", answers: []string{invoice("7", "usd", "false", "")}, want: "spend charge 7 USD on invoices/in_1"},
		"paying with a parameter of nobody's": {call: "POST /v1/invoices/in_1/pay", body: "amount=1", want: unread},
		"paying another invoice's amount":     {call: "POST /v1/invoices/in_2/pay", answers: []string{"GET /v1/invoices/in_2 => {'object':'invoice','id':'in_1'}"}, want: "unavailable"},
		"paying an amount with a fraction":    {call: "POST /v1/invoices/in_1/pay", answers: []string{invoice("7.5", "usd", "false", "")}, want: "unavailable"},
		"paying where nothing is said to remain, in an old version": {call: "POST /v1/invoices/in_1/pay", version: "2015-02-18",
			answers: []string{"GET /v1/invoices/in_1 => {'object':'invoice','id':'in_1','amount_due':30,'currency':'usd'}"}, want: "spend charge 30 USD on invoices/in_1"},

		"finalizing what waits for another call": {call: "POST /v1/invoices/in_1/finalize", answers: []string{invoice("2000", "usd", "false", "")}, want: onDraft},
		"finalizing what advances":               {call: "POST /v1/invoices/in_1/finalize", answers: []string{invoice("2000", "usd", "true", "")}, want: "spend charge 2000 USD on invoices/in_1"},
		"finalizing, and having it advance":      {call: "POST /v1/invoices/in_1/finalize", body: "auto_advance=true", answers: []string{invoice("2000", "usd", "false", "")}, want: "spend charge 2000 USD on invoices/in_1"},
		"finalizing, and stopping it":            {call: "POST /v1/invoices/in_1/finalize", body: "auto_advance=false", answers: []string{invoice("2000", "usd", "true", "")}, want: onDraft},
		"finalizing with an odd word":            {call: "POST /v1/invoices/in_1/finalize", body: "auto_advance=1", answers: []string{invoice("2000", "usd", "true", "")}, want: "refuse MALFORMED"},
		"finalizing what does not say whether it advances": {call: "POST /v1/invoices/in_1/finalize", version: "2018-01-01",
			answers: []string{"GET /v1/invoices/in_1 => {'object':'invoice','id':'in_1','amount_remaining':30,'currency':'usd'}"}, want: "spend charge 30 USD on invoices/in_1"},
		"sending asks the customer to pay": {call: "POST /v1/invoices/in_1/send", answers: []string{invoice("90", "eur", "false", "")}, want: "spend charge 90 EUR on invoices/in_1"},

		"something new":                        {call: "POST /v1/invoices/in_1", body: "closed=false", want: unread},
		"words":                                {call: "POST /v1/invoices/in_1", body: "description=x&metadata[a]=b&default_payment_method=pm_1", want: onDraft},
		"stopping":                             {call: "POST /v1/invoices/in_1", body: "auto_advance=false", want: onDraft},
		"having it advance":                    {call: "POST /v1/invoices/in_1", body: "auto_advance=true", answers: []string{invoice("40", "usd", "false", "")}, want: "spend charge 40 USD on invoices/in_1"},
		"having it finalized later":            {call: "POST /v1/invoices/in_1", body: "automatically_finalizes_at=1900000000", answers: []string{invoice("40", "usd", "false", "")}, want: "spend charge 40 USD on invoices/in_1"},
		"having it advance to another account": {call: "POST /v1/invoices/in_1", body: "auto_advance=true&transfer_data[destination]=acct_2", answers: []string{invoice("40", "usd", "false", "")}, want: "spend charge 40 USD to acct_2 on invoices/in_1"},
		"another account, which its invoice no longer tells": {call: "POST /v1/invoices/in_1", body: "transfer_data[destination]=acct_2", answers: []string{invoice("40", "usd", "false", "")}, want: "capability on invoices/in_1"},
		"a discount taken off a draft that waits":            {call: "POST /v1/invoices/in_1", body: "discounts=", answers: []string{invoice("40", "usd", "false", "")}, want: onDraft},
		"a discount taken off one that advances":             {call: "POST /v1/invoices/in_1", body: "discounts=", answers: []string{invoice("40", "usd", "true", "")}, want: unread},
		"tax put on one that is to advance":                  {call: "POST /v1/invoices/in_1", body: "auto_advance=true&automatic_tax[enabled]=true", answers: []string{invoice("40", "usd", "false", "")}, want: unread},
	})
}

func TestNewInvoices(t *testing.T) {
	judgeAll(t, map[string]bills{
		"a draft that waits":                                  {call: "POST /v1/invoices", body: "customer=cus_1", want: onPending},
		"a draft that says that it waits":                     {call: "POST /v1/invoices", body: "customer=cus_1&auto_advance=false&collection_method=charge_automatically", version: "none", want: onPending},
		"a draft that is to be passed on":                     {call: "POST /v1/invoices", body: "customer=cus_1&transfer_data[destination]=acct_2", want: "capability on customers/cus_1"},
		"a draft passed on, in a version whose invoices tell": {call: "POST /v1/invoices", body: "customer=cus_1&transfer_data[destination]=acct_2", version: "2024-06-20", want: onPending},
		"a draft with something new":                          {call: "POST /v1/invoices", body: "customer=cus_1&collect=now", want: "refuse on customers/cus_1"},
		"a revision with tax":                                 {call: "POST /v1/invoices", body: "from_invoice[invoice]=in_1&auto_advance=true&automatic_tax[enabled]=true", want: unread},
		"one that advances without what waits":                {call: "POST /v1/invoices", body: "customer=cus_1&auto_advance=true", want: onPending},
		"one that says that it leaves that out":               {call: "POST /v1/invoices", body: "customer=cus_1&auto_advance=true&pending_invoice_items_behavior=exclude", version: "none", want: onPending},
		"one that advances with what waits":                   {call: "POST /v1/invoices", body: "customer=cus_1&auto_advance=true&pending_invoice_items_behavior=include", answers: []string{list(pendingItem("1000", "usd", "") + "," + pendingItem("-300", "usd", ""))}, want: "spend charge 700 USD on customers/cus_1"},
		"one of before 2022, with what waits":                 {call: "POST /v1/invoices", body: "customer=cus_1&auto_advance=true", version: "2020-08-27", answers: []string{list(pendingItem("1000", "jpy", ""))}, want: "spend charge 1000 JPY on customers/cus_1"},
		"one of before 2018, which all advance":               {call: "POST /v1/invoices", body: "customer=cus_1", version: "2017-08-15", answers: []string{list(pendingItem("1000", "usd", ""))}, want: "spend charge 1000 USD on customers/cus_1"},
		"one of a version that the call hides":                {call: "POST /v1/invoices", body: "customer=cus_1", version: "none", answers: []string{list("")}, want: onPending},
		"one to an account, passed on":                        {call: "POST /v1/invoices", body: "customer=cus_1&auto_advance=true&pending_invoice_items_behavior=include&transfer_data[destination]=acct_2", answers: []string{list(pendingItem("9", "usd", ""))}, want: "spend charge 9 USD to acct_2 on customers/cus_1"},
		"one that is finalized later":                         {call: "POST /v1/invoices", body: "customer=cus_1&automatically_finalizes_at=1900000000&pending_invoice_items_behavior=include", answers: []string{list(pendingItem("9", "usd", ""))}, want: "spend charge 9 USD on customers/cus_1"},
		"credits that may be another's":                       {call: "POST /v1/invoices", body: "customer=cus_1&auto_advance=true&pending_invoice_items_behavior=include&subscription=sub_1", answers: []string{list(pendingItem("1000", "usd", "") + "," + pendingItem("-300", "usd", ""))}, want: "spend charge 1000 USD on customers/cus_1"},
		"more waits than is shown":                            {call: "POST /v1/invoices", body: "customer=cus_1&auto_advance=true&pending_invoice_items_behavior=include", answers: []string{itemsOf + "{'object':'list','has_more':true,'data':[]}"}, want: "refuse on customers/cus_1"},
		"what waits is in two currencies":                     {call: "POST /v1/invoices", body: "customer=cus_1&auto_advance=true&pending_invoice_items_behavior=include", answers: []string{list(pendingItem("9", "usd", "") + "," + pendingItem("9", "eur", ""))}, want: "refuse on customers/cus_1"},
		"shipping is not reckoned":                            {call: "POST /v1/invoices", body: "customer=cus_1&auto_advance=true&shipping_cost[shipping_rate]=shr_1", want: "refuse on customers/cus_1"},
		"a revision is worth what it revises":                 {call: "POST /v1/invoices", body: "from_invoice[invoice]=in_1&from_invoice[action]=revision&auto_advance=true", answers: []string{invoice("77", "usd", "false", "")}, want: "spend charge 77 USD on invoices/in_1"},
		"nobody is billed":                                    {call: "POST /v1/invoices", body: "auto_advance=true&pending_invoice_items_behavior=include", want: "refuse MALFORMED"},
		"two are":                                             {call: "POST /v1/invoices", body: "customer=cus_1&customer_account=acct_1", want: "refuse AMBIGUOUS"},
		"tax comes on top, as the preview tells": {call: "POST /v1/invoices", body: "customer=cus_1&auto_advance=true&pending_invoice_items_behavior=include&automatic_tax[enabled]=true",
			answers: []string{list(pendingItem("1000", "usd", "")),
				"POST /v1/invoices/create_preview?customer=cus_1&discounts=&automatic_tax[enabled]=true => {'object':'invoice','id':'upcoming','currency':'usd','total':1190}"},
			want: "spend charge 1190 USD on customers/cus_1"},
	})
}

func TestInvoiceItems(t *testing.T) {
	const item = "GET /v1/invoiceitems/ii_1 => {'object':'invoiceitem','id':'ii_1','customer':'cus_1','currency':'usd','quantity':2,"
	judgeAll(t, map[string]bills{
		"an amount":                               {call: "POST /v1/invoiceitems", body: "customer=cus_1&amount=1000&currency=usd", want: "spend charge 1000 USD on customers/cus_1"},
		"an amount without decimals":              {call: "POST /v1/invoiceitems", body: "customer=cus_1&amount=1000&currency=jpy", want: "spend charge 1000 JPY on customers/cus_1"},
		"an amount with three":                    {call: "POST /v1/invoiceitems", body: "customer=cus_1&amount=1000&currency=kwd", want: "spend charge 1000 KWD on customers/cus_1"},
		"an amount with a digit too many":         {call: "POST /v1/invoiceitems", body: "customer=cus_1&amount=1001&currency=kwd", want: "refuse MALFORMED"},
		"a credit":                                {call: "POST /v1/invoiceitems", body: "customer=cus_1&amount=-1000&currency=usd", want: "spend refund 1000 USD to cus_1 on customers/cus_1"},
		"nothing":                                 {call: "POST /v1/invoiceitems", body: "customer=cus_1&amount=0&currency=usd", want: onPending},
		"no amount":                               {call: "POST /v1/invoiceitems", body: "customer=cus_1&currency=usd", want: "refuse MALFORMED"},
		"no currency":                             {call: "POST /v1/invoiceitems", body: "customer=cus_1&amount=5", want: "refuse MALFORMED"},
		"a leading zero":                          {call: "POST /v1/invoiceitems", body: "customer=cus_1&amount=05&currency=usd", want: "refuse MALFORMED"},
		"a plus":                                  {call: "POST /v1/invoiceitems", body: "customer=cus_1&amount=%2B5&currency=usd", want: "refuse MALFORMED"},
		"an exponent":                             {call: "POST /v1/invoiceitems", body: "customer=cus_1&unit_amount_decimal=1e3&currency=usd", want: "refuse MALFORMED"},
		"an amount with a fraction":               {call: "POST /v1/invoiceitems", body: "customer=cus_1&amount=10.0&currency=usd", want: "spend charge 10 USD on customers/cus_1"},
		"an amount and a quantity":                {call: "POST /v1/invoiceitems", body: "customer=cus_1&amount=10&quantity=3&currency=usd", want: "refuse AMBIGUOUS"},
		"an amount and a price":                   {call: "POST /v1/invoiceitems", body: "customer=cus_1&amount=10&currency=usd&price_data[unit_amount]=3", want: "refuse AMBIGUOUS"},
		"a unit amount by quantity":               {call: "POST /v1/invoiceitems", body: "customer=cus_1&unit_amount=250&quantity=4&currency=usd", want: "spend charge 1000 USD on customers/cus_1"},
		"a fraction that comes out even":          {call: "POST /v1/invoiceitems", body: "customer=cus_1&unit_amount_decimal=0.125&quantity=8&currency=usd", want: "spend charge 1 USD on customers/cus_1"},
		"a fraction that does not":                {call: "POST /v1/invoiceitems", body: "customer=cus_1&unit_amount_decimal=0.125&quantity=9&currency=usd", want: "refuse MALFORMED"},
		"a quantity with a fraction":              {call: "POST /v1/invoiceitems", body: "customer=cus_1&unit_amount_decimal=4&quantity_decimal=2.5&currency=usd", want: "spend charge 10 USD on customers/cus_1"},
		"a price in the call":                     {call: "POST /v1/invoiceitems", body: "customer=cus_1&price_data[currency]=eur&price_data[product]=p&price_data[unit_amount]=700&quantity=3", want: "spend charge 2100 EUR on customers/cus_1"},
		"a price in the call, in another":         {call: "POST /v1/invoiceitems", body: "customer=cus_1&currency=usd&price_data[currency]=eur&price_data[unit_amount]=700", want: "refuse MALFORMED"},
		"more than an amount can be":              {call: "POST /v1/invoiceitems", body: "customer=cus_1&unit_amount=9000000000000000000&quantity=2&currency=usd", want: "refuse MALFORMED"},
		"a price in the call, with something new": {call: "POST /v1/invoiceitems", body: "customer=cus_1&price_data[currency]=eur&price_data[unit_amount]=7&price_data[surcharge]=700", want: "refuse on customers/cus_1"},
		"a price to look up":                      {call: "POST /v1/invoiceitems", body: "customer=cus_1&pricing[price]=price_1&quantity=3", answers: []string{gotPrice("price_1", "500", "usd")}, want: "spend charge 1500 USD on customers/cus_1"},
		"a price as it was called":                {call: "POST /v1/invoiceitems", body: "customer=cus_1&price=price_1", version: "2024-06-20", answers: []string{gotPrice("price_1", "500", "jpy")}, want: "spend charge 500 JPY on customers/cus_1"},
		"a price by usage":                        {call: "POST /v1/invoiceitems", body: "customer=cus_1&pricing[price]=price_1", answers: []string{gotPrice("price_1", "500", "usd", "licensed", "metered")}, want: "refuse on customers/cus_1"},
		"a price in several currencies":           {call: "POST /v1/invoiceitems", body: "customer=cus_1&pricing[price]=price_1", answers: []string{gotPrice("price_1", "500", "usd", "'currency_options':{", "'currency_options':{'eur':{'unit_amount':450},")}, want: "refuse on customers/cus_1"},
		"one of its currencies":                   {call: "POST /v1/invoiceitems", body: "customer=cus_1&pricing[price]=price_1&currency=eur", answers: []string{gotPrice("price_1", "500", "usd", "'currency_options':{", "'currency_options':{'eur':{'unit_amount':450},")}, want: "spend charge 450 EUR on customers/cus_1"},
		"none of its currencies":                  {call: "POST /v1/invoiceitems", body: "customer=cus_1&pricing[price]=price_1&currency=gbp", answers: []string{gotPrice("price_1", "500", "usd")}, want: "refuse on customers/cus_1"},
		"a price that leads out of the path":      {call: "POST /v1/invoiceitems", body: "customer=cus_1&pricing[price]=..", want: "refuse MALFORMED"},
		"a price with a query":                    {call: "POST /v1/invoiceitems", body: "customer=cus_1&pricing[price]=p%3Fx", want: "refuse MALFORMED"},
		"tax rates": {call: "POST /v1/invoiceitems", body: "customer=cus_1&amount=1001&currency=usd&tax_rates[0]=txr_1&tax_rates[1]=txr_2",
			answers: []string{"GET /v1/tax_rates/txr_1 => {'object':'tax_rate','id':'txr_1','inclusive':false,'percentage':8.875}", "GET /v1/tax_rates/txr_2 => {'object':'tax_rate','id':'txr_2','inclusive':true,'percentage':20}"},
			want:    "spend charge 1090 USD on customers/cus_1"},
		"a tax rate on a credit": {call: "POST /v1/invoiceitems", body: "customer=cus_1&amount=-100&currency=usd&tax_rates[0]=txr_1",
			answers: []string{"GET /v1/tax_rates/txr_1 => {'object':'tax_rate','id':'txr_1','inclusive':false,'percentage':10}"}, want: "spend refund 110 USD to cus_1 on customers/cus_1"},
		"a tax rate that is no percentage": {call: "POST /v1/invoiceitems", body: "customer=cus_1&amount=100&currency=usd&tax_rates[0]=txr_1",
			answers: []string{"GET /v1/tax_rates/txr_1 => {'object':'tax_rate','id':'txr_1','inclusive':false,'percentage':1e3}"}, want: "refuse on customers/cus_1"},
		"nobody":                             {call: "POST /v1/invoiceitems", body: "amount=10&currency=usd", want: "refuse MALFORMED"},
		"on a draft that waits":              {call: "POST /v1/invoiceitems", body: "customer=cus_1&amount=1000&currency=usd&invoice=in_1", answers: []string{invoice("0", "usd", "false", "")}, want: onDraft},
		"on a draft that advances":           {call: "POST /v1/invoiceitems", body: "customer=cus_1&amount=1000&invoice=in_1", answers: []string{invoice("0", "usd", "true", "")}, want: "spend charge 1000 USD on invoices/in_1"},
		"on a draft that is finalized later": {call: "POST /v1/invoiceitems", body: "customer=cus_1&amount=1000&invoice=in_1", answers: []string{"GET /v1/invoices/in_1 => {'object':'invoice','id':'in_1','auto_advance':false,'automatically_finalizes_at':1900000000,'currency':'usd'}"}, want: "spend charge 1000 USD on invoices/in_1"},

		"words":                          {call: "POST /v1/invoiceitems/ii_1", body: "description=x", want: "other on invoiceitems/ii_1"},
		"more than before":               {call: "POST /v1/invoiceitems/ii_1", body: "amount=1200", answers: []string{item + "'amount':1000}"}, want: "spend charge 200 USD on customers/cus_1"},
		"less than before":               {call: "POST /v1/invoiceitems/ii_1", body: "amount=800", answers: []string{item + "'amount':1000}"}, want: onPending},
		"a charge that becomes a credit": {call: "POST /v1/invoiceitems/ii_1", body: "amount=-500", answers: []string{item + "'amount':1000}"}, want: "spend refund 500 USD to cus_1 on customers/cus_1"},
		"a credit that grows":            {call: "POST /v1/invoiceitems/ii_1", body: "amount=-500", answers: []string{item + "'amount':-400}"}, want: "spend refund 100 USD to cus_1 on customers/cus_1"},
		"a credit that shrinks":          {call: "POST /v1/invoiceitems/ii_1", body: "amount=-100", answers: []string{item + "'amount':-400}"}, want: "spend charge 300 USD on customers/cus_1"},
		"more of the same":               {call: "POST /v1/invoiceitems/ii_1", body: "quantity=5", answers: []string{item + "'amount':1000,'pricing':{'unit_amount_decimal':'500'}}"}, want: "spend charge 1500 USD on customers/cus_1"},
		"more of the same, as it was":    {call: "POST /v1/invoiceitems/ii_1", body: "quantity=5", version: "2024-06-20", answers: []string{item + "'amount':1000,'unit_amount':500}"}, want: "spend charge 1500 USD on customers/cus_1"},
		"more of what has no price":      {call: "POST /v1/invoiceitems/ii_1", body: "quantity=5", answers: []string{item + "'amount':1000}"}, want: "refuse on customers/cus_1"},
		"a change on a draft that waits": {call: "POST /v1/invoiceitems/ii_1", body: "amount=9999", answers: []string{item + "'amount':1000,'invoice':'in_1'}", invoice("1", "usd", "false", "")}, want: onDraft},
		"a change on one that advances":  {call: "POST /v1/invoiceitems/ii_1", body: "amount=9999", answers: []string{item + "'amount':1000,'invoice':'in_1'}", invoice("1", "usd", "true", "")}, want: "spend charge 8999 USD on invoices/in_1"},
		"deleting a charge":              {call: "DELETE /v1/invoiceitems/ii_1", answers: []string{item + "'amount':1000}"}, want: onPending},
		"deleting a credit":              {call: "DELETE /v1/invoiceitems/ii_1", answers: []string{item + "'amount':-1000}"}, want: "spend charge 1000 USD on customers/cus_1"},
		"deleting a credit of a draft":   {call: "DELETE /v1/invoiceitems/ii_1", answers: []string{item + "'amount':-1000,'invoice':'in_1'}", invoice("1", "usd", "false", "")}, want: onDraft},
	})
}

func TestLinesOfInvoices(t *testing.T) {
	judgeAll(t, map[string]bills{
		"lines on a draft that waits":          {call: "POST /v1/invoices/in_1/add_lines", body: "lines[0][amount]=500", answers: []string{invoice("1", "usd", "false", "")}, want: onDraft},
		"lines on one that advances":           {call: "POST /v1/invoices/in_1/add_lines", body: "lines[0][amount]=500&lines[1][price_data][unit_amount]=20&lines[1][price_data][currency]=usd&lines[1][quantity]=3", answers: []string{invoice("1", "usd", "true", "")}, want: "spend charge 560 USD on invoices/in_1"},
		"a credit on one that advances":        {call: "POST /v1/invoices/in_1/add_lines", body: "lines[0][amount]=-500", answers: []string{invoice("1", "usd", "true", "")}, want: "spend refund 500 USD to cus_1 on invoices/in_1"},
		"a price on one that advances":         {call: "POST /v1/invoices/in_1/add_lines", body: "lines[0][pricing][price]=price_1", answers: []string{invoice("1", "eur", "true", ""), gotPrice("price_1", "60", "eur")}, want: "spend charge 60 EUR on invoices/in_1"},
		"tax on a line of one that advances":   {call: "POST /v1/invoices/in_1/add_lines", body: "lines[0][amount]=5&lines[0][tax_rates][0]=txr_1", answers: []string{invoice("1", "usd", "true", "")}, want: unread},
		"a pending item put on it":             {call: "POST /v1/invoices/in_1/add_lines", body: "lines[0][invoice_item]=ii_1", answers: []string{invoice("1", "usd", "true", "")}, want: unread},
		"lines changed in words":               {call: "POST /v1/invoices/in_1/update_lines", body: "lines[0][id]=il_1&lines[0][description]=x", answers: []string{invoice("1", "usd", "true", "")}, want: onDraft},
		"lines changed in amount":              {call: "POST /v1/invoices/in_1/update_lines", body: "lines[0][id]=il_1&lines[0][amount]=90", answers: []string{invoice("1", "usd", "true", "")}, want: "spend charge 90 USD on invoices/in_1"},
		"lines changed in number":              {call: "POST /v1/invoices/in_1/update_lines", body: "lines[0][id]=il_1&lines[0][quantity]=90", answers: []string{invoice("1", "usd", "true", "")}, want: unread},
		"one line changed":                     {call: "POST /v1/invoices/in_1/lines/il_1", body: "amount=80", answers: []string{invoice("1", "usd", "true", "")}, want: "spend charge 80 USD on invoices/in_1"},
		"one line of a draft changed":          {call: "POST /v1/invoices/in_1/lines/il_1", body: "amount=80", answers: []string{invoice("1", "usd", "false", "")}, want: onDraft},
		"lines removed from a draft":           {call: "POST /v1/invoices/in_1/remove_lines", body: "lines[0][id]=il_1", answers: []string{invoice("1", "usd", "false", "")}, want: onDraft},
		"lines removed from one that advances": {call: "POST /v1/invoices/in_1/remove_lines", body: "lines[0][id]=il_1&lines[0][behavior]=delete", answers: []string{invoice("1", "usd", "true", "")}, want: unread},
	})
}
