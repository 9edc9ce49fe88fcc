package stripe

import (
	"strings"
	"testing"
)

const (
	onCustomer = " on customers/cus_1"
	onSub      = " on subscriptions/sub_1"
)

// subscription is what Stripe answers for sub_1, with two of price_1 at 1000 a month;
// edits replace parts of it in pairs.
func subscription(currency string, edits ...string) string {
	s := "GET /v1/subscriptions/sub_1 => {'object':'subscription','id':'sub_1','currency':'" + currency + "','customer':'cus_1','automatic_tax':{'enabled':false}" +
		",'default_tax_rates':[],'items':{'object':'list','has_more':false,'data':[{'object':'subscription_item','id':'si_1','quantity':2,'tax_rates':[],'price':" +
		price("price_1", "1000", currency) + "}]}}"
	for i := 0; i < len(edits); i += 2 {
		s = strings.ReplaceAll(s, edits[i], edits[i+1])
	}
	return s
}

// previewed is what Stripe answers for a preview.
func previewed(parameters, currency, total string) string {
	return "POST /v1/invoices/create_preview?" + parameters + " => {'object':'invoice','id':'upcoming_in_1','currency':'" + currency + "','customer':'cus_1','total':" + total + "}"
}

func TestNewSubscriptions(t *testing.T) {
	const create = "POST /v1/subscriptions"
	judgeAll(t, map[string]bills{
		"one item":                {call: create, body: "customer=cus_1&items[0][price]=price_1", answers: []string{gotPrice("price_1", "1000", "usd")}, want: "spend charge 1000 USD" + onCustomer},
		"several of it":           {call: create, body: "customer=cus_1&items[0][price]=price_1&items[0][quantity]=7", answers: []string{gotPrice("price_1", "1000", "jpy")}, want: "spend charge 7000 JPY" + onCustomer},
		"in three decimals":       {call: create, body: "customer=cus_1&items[0][price]=price_1", answers: []string{gotPrice("price_1", "1230", "kwd")}, want: "spend charge 1230 KWD" + onCustomer},
		"none of it":              {call: create, body: "customer=cus_1&items[0][price]=price_1&items[0][quantity]=0", answers: []string{gotPrice("price_1", "1000", "usd")}, want: "other" + onCustomer},
		"a price in the call":     {call: create, body: "customer=cus_1&items[0][price_data][currency]=usd&items[0][price_data][product]=prod_1&items[0][price_data][recurring][interval]=month&items[0][price_data][unit_amount]=250&items[0][quantity]=4", want: "spend charge 1000 USD" + onCustomer},
		"a fraction in the call":  {call: create, body: "customer=cus_1&items[0][price_data][currency]=usd&items[0][price_data][unit_amount_decimal]=0.5&items[0][quantity]=3", want: "refuse MALFORMED"},
		"the alias of a customer": {call: "POST /v1/customers/cus_1/subscriptions", body: "items[0][price]=price_1", answers: []string{gotPrice("price_1", "1000", "usd")}, want: "spend charge 1000 USD" + onCustomer},
		"what its first invoice has besides": {call: create, body: "customer=cus_1&items[0][price]=price_1&add_invoice_items[0][price_data][unit_amount]=5000&add_invoice_items[0][price_data][currency]=usd&add_invoice_items[1][price]=price_2&add_invoice_items[1][quantity]=2",
			answers: []string{gotPrice("price_1", "1000", "usd"), gotPrice("price_2", "30", "usd")}, want: "spend charge 6060 USD" + onCustomer},
		"a trial ends": {call: create, body: "customer=cus_1&items[0][price]=price_1&trial_period_days=30", answers: []string{gotPrice("price_1", "1000", "usd")}, want: "spend charge 1000 USD" + onCustomer},
		"a discount ends": {call: create, body: "customer=cus_1&items[0][price]=price_1&items[0][discounts][0][coupon]=free&discounts[0][coupon]=free",
			answers: []string{gotPrice("price_1", "1000", "usd")}, want: "spend charge 1000 USD" + onCustomer},
		"what is passed on": {call: create, body: "customer=cus_1&items[0][price]=price_1&transfer_data[destination]=acct_2&transfer_data[amount_percent]=10",
			answers: []string{gotPrice("price_1", "1000", "usd")}, want: "spend charge 1000 USD to acct_2" + onCustomer},
		"a plan": {call: create, body: "customer=cus_1&items[0][plan]=gold-2", version: "2019-12-03",
			answers: []string{"GET /v1/plans/gold-2 => {'object':'plan','id':'gold-2','amount':900,'currency':'usd','billing_scheme':'per_unit','usage_type':'licensed'}"}, want: "spend charge 900 USD" + onCustomer},
		"a plan by usage": {call: create, body: "customer=cus_1&items[0][plan]=gold", version: "2019-12-03",
			answers: []string{"GET /v1/plans/gold => {'object':'plan','id':'gold','amount':900,'currency':'usd','billing_scheme':'per_unit','usage_type':'metered'}"}, want: "refuse" + onCustomer},
		"a price by usage": {call: create, body: "customer=cus_1&items[0][price]=price_1", answers: []string{gotPrice("price_1", "1000", "usd", "licensed", "metered")}, want: "refuse" + onCustomer},
		"a price in tiers": {call: create, body: "customer=cus_1&items[0][price]=price_1", answers: []string{gotPrice("price_1", "null", "usd", "per_unit", "tiered", "'null'", "null")}, want: "refuse" + onCustomer},
		"a price with a fraction that comes out even": {call: create, body: "customer=cus_1&items[0][price]=price_1&items[0][quantity]=4",
			answers: []string{gotPrice("price_1", "null", "usd", "'null'", "'0.25'")}, want: "spend charge 1 USD" + onCustomer},
		"a price with a fraction that does not": {call: create, body: "customer=cus_1&items[0][price]=price_1&items[0][quantity]=3",
			answers: []string{gotPrice("price_1", "null", "usd", "'null'", "'0.25'")}, want: "refuse" + onCustomer},
		"a price by the dozen": {call: create, body: "customer=cus_1&items[0][price]=price_1&items[0][quantity]=13",
			answers: []string{gotPrice("price_1", "1000", "usd", "'transform_quantity':null", "'transform_quantity':{'divide_by':12,'round':'down'}")}, want: "spend charge 2000 USD" + onCustomer},
		"more prices than are looked up": {call: create, body: "customer=cus_1&items[0][price]=price_1&items[1][price]=price_2&items[2][price]=price_3&items[3][price]=price_4",
			answers: []string{gotPrice("price_1", "1", "usd"), gotPrice("price_2", "1", "usd"), gotPrice("price_3", "1", "usd")}, want: "refuse" + onCustomer},
		"prices in two currencies": {call: create, body: "customer=cus_1&items[0][price]=price_1&items[1][price]=price_2",
			answers: []string{gotPrice("price_1", "1", "usd"), gotPrice("price_2", "1", "eur")}, want: "refuse" + onCustomer},
		"a price in the customer's currency": {call: create, body: "customer=cus_1&items[0][price]=price_1", answers: []string{
			gotPrice("price_1", "500", "usd", "'currency_options':{", "'currency_options':{'eur':{'unit_amount':450},"),
			previewed("customer=cus_1&discounts=&subscription_details[items][0][price]=price_1", "eur", "450")}, want: "spend charge 450 EUR" + onCustomer},
		"tax on top": {call: create, body: "customer=cus_1&items[0][price]=price_1&items[0][metadata][a]=b&automatic_tax[enabled]=true&trial_end=1900000000&discounts[0][coupon]=free",
			answers: []string{gotPrice("price_1", "1000", "usd"),
				previewed("customer=cus_1&discounts=&subscription_details[items][0][price]=price_1&automatic_tax[enabled]=true", "usd", "1190")}, want: "spend charge 1190 USD" + onCustomer},
		"a preview that says less": {call: create, body: "customer=cus_1&items[0][price]=price_1&default_tax_rates[0]=txr_1",
			answers: []string{gotPrice("price_1", "1000", "usd"),
				previewed("customer=cus_1&discounts=&subscription_details[items][0][price]=price_1&subscription_details[default_tax_rates][0]=txr_1", "usd", "-5")}, want: "spend charge 1000 USD" + onCustomer},
		"tax on one item": {call: create, body: "customer=cus_1&items[0][price]=price_1&items[0][tax_rates][0]=txr_1",
			answers: []string{gotPrice("price_1", "1000", "usd"),
				previewed("customer=cus_1&discounts=&subscription_details[items][0][price]=price_1&subscription_details[items][0][tax_rates][0]=txr_1", "usd", "1070")}, want: "spend charge 1070 USD" + onCustomer},
		"a start in the past": {call: create, body: "customer=cus_1&items[0][price]=price_1&backdate_start_date=1600000000",
			answers: []string{gotPrice("price_1", "1000", "usd"),
				previewed("customer=cus_1&discounts=&subscription_details[items][0][price]=price_1&subscription_details[start_date]=1600000000", "usd", "60000")}, want: "spend charge 60000 USD" + onCustomer},
		"no preview in its version": {call: create, body: "customer=cus_1&items[0][price]=price_1&automatic_tax[enabled]=true",
			answers: []string{gotPrice("price_1", "1000", "usd"),
				"POST /v1/invoices/create_preview?customer=cus_1&discounts=&subscription_details[items][0][price]=price_1&automatic_tax[enabled]=true => 404"}, want: "refuse" + onCustomer},
		"tax of before 2018":           {call: create, body: "customer=cus_1&plan=gold&tax_percent=90", version: "2017-08-15", want: "refuse" + onCustomer},
		"many periods ahead":           {call: create, body: "customer=cus_1&items[0][price]=price_1&billing_schedules[0][key]=a", want: "refuse" + onCustomer},
		"an item with something new":   {call: create, body: "customer=cus_1&items[0][price]=price_1&items[0][multiplier]=9", want: "refuse" + onCustomer},
		"an item that is priced twice": {call: create, body: "customer=cus_1&items[0][price]=price_1&items[0][price_data][unit_amount]=1", answers: nil, want: "refuse AMBIGUOUS"},
		"items that are no list":       {call: create, body: "customer=cus_1&items=x", want: "refuse MALFORMED"},
		"no items":                     {call: create, body: "customer=cus_1", want: "refuse" + onCustomer},
		"nobody":                       {call: create, body: "items[0][price]=price_1", want: "refuse MALFORMED"},
		"a price that is another":      {call: create, body: "customer=cus_1&items[0][price]=price_2", answers: []string{strings.Replace(gotPrice("price_1", "1", "usd"), "prices/price_1", "prices/price_2", 1)}, want: "unavailable"},
	})
}

func TestChangesOfSubscriptions(t *testing.T) {
	const update = "POST /v1/subscriptions/sub_1"
	judgeAll(t, map[string]bills{
		"words":                        {call: update, body: "metadata[a]=b&description=x", want: "other" + onSub},
		"an end with the period":       {call: update, body: "cancel_at_period_end=true", want: "other" + onSub},
		"that end taken back":          {call: update, body: "cancel_at_period_end=false", answers: []string{subscription("usd")}, want: "spend charge 2000 USD" + onSub},
		"an end at another time":       {call: update, body: "cancel_at=1900000000", answers: []string{subscription("usd")}, want: "spend charge 2000 USD" + onSub},
		"a pause":                      {call: update, body: "pause_collection[behavior]=void", want: "other" + onSub},
		"a pause that ends":            {call: update, body: "pause_collection[behavior]=void&pause_collection[resumes_at]=1900000000", answers: []string{subscription("usd")}, want: "spend charge 2000 USD" + onSub},
		"the end of a pause":           {call: update, body: "pause_collection=", answers: []string{subscription("usd")}, want: "spend charge 2000 USD" + onSub},
		"the end of a trial":           {call: update, body: "trial_end=now", answers: []string{subscription("jpy")}, want: "spend charge 2000 JPY" + onSub},
		"more of an item":              {call: update, body: "items[0][id]=si_1&items[0][quantity]=5&proration_behavior=always_invoice", answers: []string{subscription("usd")}, want: "spend charge 5000 USD" + onSub},
		"another price of as many":     {call: update, body: "items[0][id]=si_1&items[0][price]=price_2", answers: []string{subscription("usd"), gotPrice("price_2", "3000", "usd")}, want: "spend charge 6000 USD" + onSub},
		"one more item":                {call: update, body: "items[0][price]=price_2&items[0][quantity]=3", answers: []string{subscription("usd"), gotPrice("price_2", "10", "usd")}, want: "spend charge 2030 USD" + onSub},
		"an item replaced":             {call: update, body: "items[0][id]=si_1&items[0][deleted]=true&items[1][price]=price_2", answers: []string{subscription("usd"), gotPrice("price_2", "10", "usd")}, want: "spend charge 10 USD refund 1990 USD to cus_1" + onSub},
		"fewer of an item":             {call: update, body: "items[0][id]=si_1&items[0][quantity]=1", answers: []string{subscription("jpy")}, want: "spend charge 1000 JPY refund 1000 JPY to cus_1" + onSub},
		"fewer, without credit":        {call: update, body: "items[0][id]=si_1&items[0][quantity]=1&proration_behavior=none", answers: []string{subscription("usd")}, want: "spend charge 1000 USD" + onSub},
		"none of an item":              {call: update, body: "items[0][id]=si_1&items[0][quantity]=0", answers: []string{subscription("usd")}, want: "spend refund 2000 USD to cus_1" + onSub},
		"an item replaced by a dearer": {call: update, body: "items[0][id]=si_1&items[0][deleted]=true&items[1][price]=price_2", answers: []string{subscription("usd"), gotPrice("price_2", "2500", "usd")}, want: "spend charge 2500 USD" + onSub},
		"an item that is not there":    {call: update, body: "items[0][id]=si_9&items[0][quantity]=1", answers: []string{subscription("usd")}, want: "refuse MALFORMED"},
		"something billed once":        {call: update, body: "add_invoice_items[0][price_data][unit_amount]=400&add_invoice_items[0][price_data][currency]=usd", answers: []string{subscription("usd")}, want: "spend charge 2400 USD" + onSub},
		"another account":              {call: update, body: "transfer_data[destination]=acct_2", answers: []string{subscription("usd")}, want: "spend charge 2000 USD to acct_2" + onSub},
		"the account that it is for":   {call: update, body: "trial_end=now", answers: []string{subscription("usd", "'customer':'cus_1'", "'customer':'cus_1','transfer_data':{'destination':'acct_3'}")}, want: "spend charge 2000 USD to acct_3" + onSub},
		"one with a price by usage":    {call: update, body: "trial_end=now", answers: []string{subscription("usd", "licensed", "metered")}, want: "refuse" + onSub},
		"one with more items":          {call: update, body: "trial_end=now", answers: []string{subscription("usd", "'has_more':false", "'has_more':true")}, want: "refuse" + onSub},
		"one of before prices":         {call: update, body: "trial_end=now", version: "2019-03-14", answers: []string{subscription("usd", "'price':{'object':'price'", "'plan':{'object':'plan'", "'unit_amount':1000,'unit_amount_decimal':'1000'", "'amount':1000")}, want: "spend charge 2000 USD" + onSub},
		"something new":                {call: update, body: "prebilling[iterations]=24", want: "refuse" + onSub},
		"the alias of a customer":      {call: "POST /v1/customers/cus_1/subscriptions/sub_1", body: "trial_end=now", answers: []string{subscription("usd")}, want: "spend charge 2000 USD" + onSub},
		"one whose tax Stripe adds":    {call: update, body: "items[0][id]=si_1&items[0][quantity]=5", answers: []string{subscription("usd", "'enabled':false", "'enabled':true"), previewed("subscription=sub_1&preview_mode=recurring&discounts=&subscription_details[items][0][id]=si_1&subscription_details[items][0][quantity]=5", "usd", "5950")}, want: "spend charge 5950 USD" + onSub},
		"tax and something once":       {call: update, body: "automatic_tax[enabled]=true&add_invoice_items[0][price_data][unit_amount]=400&add_invoice_items[0][price_data][currency]=usd", answers: []string{subscription("usd")}, want: "refuse" + onSub},
		"resuming":                     {call: update + "/resume", body: "billing_cycle_anchor=now", answers: []string{subscription("usd")}, want: "spend charge 2000 USD" + onSub},
		"a price in another currency":  {call: update, body: "trial_end=now", answers: []string{subscription("usd", "'currency':'usd','customer'", "'currency':'eur','customer'"), gotPrice("price_1", "1000", "usd", "'currency_options':{", "'currency_options':{'eur':{'unit_amount':950},")}, want: "spend charge 1900 EUR" + onSub},
	})
}

func TestItemsOfSubscriptions(t *testing.T) {
	found := "GET /v1/subscription_items/si_1 => {'object':'subscription_item','id':'si_1','subscription':'sub_1','quantity':2,'price':" + price("price_1", "1000", "usd") + "}"
	judgeAll(t, map[string]bills{
		"one more":                               {call: "POST /v1/subscription_items", body: "subscription=sub_1&price=price_2&quantity=3", answers: []string{subscription("usd"), gotPrice("price_2", "10", "usd")}, want: "spend charge 2030 USD" + onSub},
		"one more of none":                       {call: "POST /v1/subscription_items", body: "price=price_2", want: "refuse MALFORMED"},
		"one without a price":                    {call: "POST /v1/subscription_items", body: "subscription=sub_1", answers: []string{subscription("usd")}, want: "refuse MALFORMED"},
		"one more with tax":                      {call: "POST /v1/subscription_items", body: "subscription=sub_1&price=price_2&tax_rates[0]=txr_1", answers: []string{subscription("usd"), gotPrice("price_2", "10", "usd"), previewed("subscription=sub_1&preview_mode=recurring&discounts=&subscription_details[items][0][price]=price_2&subscription_details[items][0][tax_rates][0]=txr_1", "usd", "2012")}, want: "spend charge 2012 USD" + onSub},
		"more of it":                             {call: "POST /v1/subscription_items/si_1", body: "quantity=9", answers: []string{found, subscription("usd")}, want: "spend charge 9000 USD" + onSub},
		"another price":                          {call: "POST /v1/subscription_items/si_1", body: "price_data[currency]=usd&price_data[unit_amount]=7", answers: []string{found, subscription("usd")}, want: "spend charge 14 USD refund 1986 USD to cus_1" + onSub},
		"words":                                  {call: "POST /v1/subscription_items/si_1", body: "metadata[a]=b", want: "other on subscription_items/si_1"},
		"deleting it":                            {call: "DELETE /v1/subscription_items/si_1", answers: []string{found, subscription("usd")}, want: "spend refund 2000 USD to cus_1" + onSub},
		"deleting without credit":                {call: "DELETE /v1/subscription_items/si_1?proration_behavior=none", want: "other on subscription_items/si_1"},
		"deleting what is billed by usage later": {call: "DELETE /v1/subscription_items/si_1", answers: []string{found, subscription("usd", "licensed", "metered")}, want: "other" + onSub},
		"deleting the last":                      {call: "DELETE /v1/subscription_items/si_1?proration_behavior=always_invoice", answers: []string{found, subscription("usd")}, want: "spend refund 2000 USD to cus_1" + onSub},
		"deleting one by usage":                  {call: "DELETE /v1/subscription_items/si_1?proration_behavior=always_invoice", answers: []string{strings.Replace(found, "licensed", "metered", 1)}, want: "refuse" + onSub},
	})
}

func TestEndsOfSubscriptions(t *testing.T) {
	const canceled = "subscription=sub_1&subscription_details[cancel_now]=true&subscription_details[proration_behavior]="
	const schedule = "GET /v1/subscription_schedules/sub_sched_1 => {'object':'subscription_schedule','id':'sub_sched_1','subscription':'sub_1'}"
	judgeAll(t, map[string]bills{
		"at once":                                  {call: "DELETE /v1/subscriptions/sub_1", want: "other" + onSub},
		"with a last invoice":                      {call: "DELETE /v1/subscriptions/sub_1?invoice_now=true", answers: []string{previewed(canceled+"none", "usd", "340")}, want: "spend charge 340 USD" + onSub},
		"with a last invoice of nothing":           {call: "DELETE /v1/subscriptions/sub_1?invoice_now=true", answers: []string{previewed(canceled+"none", "usd", "0")}, want: "other" + onSub},
		"with credit":                              {call: "DELETE /v1/subscriptions/sub_1", body: "prorate=true", answers: []string{previewed(canceled+"create_prorations", "usd", "-900")}, want: "spend refund 900 USD to cus_1" + onSub},
		"without either, and said so":              {call: "DELETE /v1/subscriptions/sub_1?invoice_now=false&prorate=false", want: "other" + onSub},
		"with an odd word":                         {call: "DELETE /v1/subscriptions/sub_1?invoice_now=yes", want: "refuse MALFORMED"},
		"with something new":                       {call: "DELETE /v1/subscriptions/sub_1?fee=1", want: "refuse" + onSub},
		"the alias of a customer":                  {call: "DELETE /v1/customers/cus_1/subscriptions/sub_1?prorate=True", answers: []string{previewed(canceled+"create_prorations", "jpy", "12")}, want: "spend charge 12 JPY" + onSub},
		"of a schedule":                            {call: "POST /v1/subscription_schedules/sub_sched_1/cancel", answers: []string{schedule, previewed(canceled+"create_prorations", "usd", "-5")}, want: "spend refund 5 USD to cus_1 on subscription_schedules/sub_sched_1"},
		"of a schedule, without an invoice":        {call: "POST /v1/subscription_schedules/sub_sched_1/cancel", body: "invoice_now=false&prorate=false", want: "other on subscription_schedules/sub_sched_1"},
		"of a schedule, which was to end it":       {call: "POST /v1/subscription_schedules/sub_sched_1/release", answers: []string{strings.Replace(schedule, "'id'", "'end_behavior':'cancel','id'", 1), subscription("usd")}, want: "spend charge 2000 USD on subscription_schedules/sub_sched_1"},
		"of a schedule, which would have ended so": {call: "POST /v1/subscription_schedules/sub_sched_1/release", answers: []string{strings.Replace(schedule, "'id'", "'end_behavior':'release','id'", 1)}, want: "other on subscription_schedules/sub_sched_1"},
		"of a schedule, but not of its end":        {call: "POST /v1/subscription_schedules/sub_sched_1/release", body: "preserve_cancel_date=true", want: "other on subscription_schedules/sub_sched_1"},
		"of a schedule that has not begun":         {call: "POST /v1/subscription_schedules/sub_sched_1/cancel", answers: []string{strings.Replace(schedule, "'sub_1'", "null", 1)}, want: "other on subscription_schedules/sub_sched_1"},
	})
}

func TestSchedules(t *testing.T) {
	const phase = "phases[0][items][0][price]=price_1&phases[0][items][0][quantity]=2&phases[0][iterations]=12"
	const later = "&phases[1][items][0][price_data][currency]=usd&phases[1][items][0][price_data][unit_amount]=700&phases[1][add_invoice_items][0][price_data][unit_amount]=50&phases[1][add_invoice_items][0][price_data][currency]=usd"
	const found = "GET /v1/subscription_schedules/sub_sched_1 => {'object':'subscription_schedule','id':'sub_sched_1','default_settings':{'automatic_tax':{'enabled':false},'transfer_data':{'destination':'acct_4'}}}"
	const onSchedule = " on subscription_schedules/sub_sched_1"
	judgeAll(t, map[string]bills{
		"one phase":                   {call: "POST /v1/subscription_schedules", body: "customer=cus_1&start_date=now&" + phase, answers: []string{gotPrice("price_1", "1000", "usd")}, want: "spend charge 2000 USD" + onCustomer},
		"two phases":                  {call: "POST /v1/subscription_schedules", body: "customer=cus_1&" + phase + later, answers: []string{gotPrice("price_1", "1000", "usd")}, want: "spend charge 2750 USD" + onCustomer},
		"passed on":                   {call: "POST /v1/subscription_schedules", body: "customer=cus_1&default_settings[transfer_data][destination]=acct_2&" + phase, answers: []string{gotPrice("price_1", "1000", "usd")}, want: "spend charge 2000 USD to acct_2" + onCustomer},
		"passed on to two":            {call: "POST /v1/subscription_schedules", body: "customer=cus_1&default_settings[transfer_data][destination]=acct_2&phases[0][transfer_data][destination]=acct_3&" + phase, answers: []string{gotPrice("price_1", "1000", "usd")}, want: "refuse" + onCustomer},
		"with tax":                    {call: "POST /v1/subscription_schedules", body: "customer=cus_1&phases[0][default_tax_rates][0]=txr_1&" + phase, want: "refuse" + onCustomer},
		"with tax on an item":         {call: "POST /v1/subscription_schedules", body: "customer=cus_1&phases[0][items][0][tax_rates][0]=txr_1&" + phase, want: "refuse" + onCustomer},
		"of a subscription":           {call: "POST /v1/subscription_schedules", body: "from_subscription=sub_1", answers: []string{subscription("usd")}, want: "spend charge 2000 USD" + onSub},
		"without phases":              {call: "POST /v1/subscription_schedules", body: "customer=cus_1", want: "refuse" + onCustomer},
		"words":                       {call: "POST /v1/subscription_schedules/sub_sched_1", body: "metadata[a]=b", want: "other" + onSchedule},
		"other phases":                {call: "POST /v1/subscription_schedules/sub_sched_1", body: phase, answers: []string{found, gotPrice("price_1", "1000", "eur")}, want: "spend charge 2000 EUR to acct_4" + onSchedule},
		"other phases, with tax":      {call: "POST /v1/subscription_schedules/sub_sched_1", body: phase, answers: []string{strings.Replace(found, "false", "true", 1)}, want: "refuse" + onSchedule},
		"what follows the last phase": {call: "POST /v1/subscription_schedules/sub_sched_1", body: "end_behavior=release", want: "refuse" + onSchedule},
	})
}
