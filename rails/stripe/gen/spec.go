package main

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// schema is what is read of a schema of OpenAPI.
type schema struct {
	Ref        string            `json:"$ref"`
	Properties map[string]schema `json:"properties"`
	Items      *schema           `json:"items"`
	AnyOf      []schema          `json:"anyOf"`
}

type content map[string]struct {
	Schema schema `json:"schema"`
}

// described is what is read of a description.
type described struct {
	Paths      map[string]map[string]json.RawMessage `json:"paths"`
	Components struct {
		Schemas map[string]schema `json:"schemas"`
	} `json:"components"`
}

// call is one operation of a description.
type call struct {
	OperationID string `json:"operationId"`
	Parameters  []struct {
		In     string `json:"in"`
		Name   string `json:"name"`
		Schema schema `json:"schema"`
	} `json:"parameters"`
	RequestBody struct {
		Content content `json:"content"`
	} `json:"requestBody"`
	Responses map[string]struct {
		Content content `json:"content"`
	} `json:"responses"`
	Servers []struct {
		URL string `json:"url"`
	} `json:"servers"`
}

// specOperations lists the operations of an OpenAPI description.
func specOperations(raw []byte) (operations, error) {
	var d described
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, err
	}
	parameter := regexp.MustCompile(`\{[^}]*\}`)
	var list operations
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range []string{"get", "post", "put", "patch", "delete"} {
			text, has := d.Paths[path][method]
			if !has {
				continue
			}
			var c call
			if err := json.Unmarshal(text, &c); err != nil {
				return nil, err
			}
			o := operation{method: strings.ToUpper(method), pattern: c.host() + patternOf(path, parameter), source: c.OperationID}
			if method == "get" {
				if o.params = d.secrets(c); o.params == nil {
					continue
				}
			} else {
				o.params = c.money()
				o.others = c.besides(o.known())
			}
			list = append(list, o)
		}
	}
	return list, nil
}

// host is the one that serves a call, "" for api.stripe.com.
func (c call) host() string {
	if len(c.Servers) == 0 {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(c.Servers[0].URL, "https://"), "/")
}

// money lists the parameters of a write that name money, or decide who gets it or
// when, sorted.
func (c call) money() []string {
	names := map[string]bool{}
	for _, p := range c.Parameters {
		if p.In == "query" {
			p.Schema.collect(p.Name, p.Name, 0, names)
		}
	}
	for _, kind := range c.RequestBody.Content {
		for name, s := range kind.Schema.Properties {
			s.collect(name, name, 0, names)
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// besides lists the parameters of a write that are not among the known, sorted.
func (c call) besides(known []string) []string {
	names := map[string]bool{}
	for _, p := range c.Parameters {
		if p.In == "query" {
			names[p.Name] = true
		}
	}
	for _, kind := range c.RequestBody.Content {
		for name := range kind.Schema.Properties {
			names[name] = true
		}
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(names)), func(name string) bool { return slices.Contains(known, name) })
}

// collect adds name, and what lies below it, if they tell of money. Deeper than
// three brackets lie settings.
func (s schema) collect(name, leaf string, depth int, names map[string]bool) {
	if slices.Contains(settings(), leaf) {
		return
	}
	if tellsOfMoney(leaf) || leaf == "value" && strings.HasPrefix(name, "amount[") {
		names[name] = true
	}
	if depth == 3 {
		return
	}
	for leaf, below := range s.Properties {
		below.collect(name+"["+leaf+"]", leaf, depth+1, names)
	}
	if s.Items != nil {
		s.Items.collect(name+"[]", "", depth, names)
	}
	for _, one := range s.AnyOf {
		one.collect(name, "", depth, names)
	}
}

// settings are parameters below which no money is told of.
func settings() []string {
	return []string{
		"expand", "metadata", "address", "billing_details", "company", "individual", "owners", "shipping", "shipping_details",
		"payment_method_options", "payment_method_data", "tax", "controller", "capabilities", "branding", "features",
	}
}

// tellsOfMoney reports whether the last part of a parameter's name stands for an
// amount, a unit, an end of a payment, or the decision to make it.
func tellsOfMoney(leaf string) bool {
	switch leaf {
	case "balance", "price", "quantity", "unit_amount", "unit_amount_decimal", "confirm", "capture", "capture_method", "confirmation_method",
		"auto_advance", "automatically_finalizes_at", "collection_method", "customer", "payment_method", "payment_intent", "charge",
		"source", "source_transaction", "on_behalf_of", "external_account", "bank_account", "reverse_transfer", "refund_application_fee",
		"invoice_now", "prorate", "proration_behavior", "paid_out_of_band", "trial_end", "pause_collection", "coupon", "percent_off",
		"origin", "mode", "financial_account", "payout_method", "default_payment_method", "default_source", "account", "url",
		"spending_limits", "billing_cycle_anchor", "cancel_at", "payment_behavior", "off_session", "submit", "usage_limits",
		"bill_for", "expected_total", "metric_tons", "active", "account_number", "network_business_profile", "external_id":
		return true
	}
	for _, word := range []string{"amount", "currency", "destination", "payout"} {
		if strings.Contains(leaf, word) {
			return true
		}
	}
	return false
}

// secrets lists what the reply to a read holds that lets its reader spend, sorted:
// a property, or one that only "expand" brings.
func (d described) secrets(c call) []string {
	var found []string
	for _, kind := range c.Responses["200"].Content {
		s := d.resolve(kind.Schema)
		if data, isList := s.Properties["data"]; isList && data.Items != nil {
			s = d.resolve(*data.Items)
		}
		has := func(name string) bool { _, there := s.Properties[name]; return there }
		if has("client_secret") {
			found = append(found, "client_secret")
		}
		if has("payload") && has("scope") { // a secret of an app
			found = append(found, "expand[]=payload")
		}
		if has("cvc") && has("number") { // a card
			found = append(found, "expand[]=cvc", "expand[]=number")
		}
		if has("financial_addresses") && has("balance") { // a financial account
			found = append(found, "expand[]=financial_addresses.aba.account_number")
		}
	}
	slices.Sort(found)
	return found
}

func (d described) resolve(s schema) schema {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return d.Components.Schemas[name]
	}
	if len(s.AnyOf) > 0 {
		return d.resolve(s.AnyOf[0])
	}
	return s
}
