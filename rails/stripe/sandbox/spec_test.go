package sandbox

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// schema is the part of an OpenAPI 3.0 schema that Stripe's description uses.
type schema struct {
	Ref        string             `json:"$ref"`
	Type       string             `json:"type"`
	Nullable   bool               `json:"nullable"`
	Enum       []any              `json:"enum"`
	AnyOf      []*schema          `json:"anyOf"`
	Items      *schema            `json:"items"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	// AdditionalProperties is absent, a boolean or a schema.
	AdditionalProperties json.RawMessage `json:"additionalProperties"`
}

type media struct {
	Content map[string]struct {
		Schema *schema `json:"schema"`
	} `json:"content"`
}

func (m media) schema() *schema {
	for _, c := range m.Content {
		return c.Schema
	}
	return nil
}

type operation struct {
	Parameters []struct {
		Name string `json:"name"`
		In   string `json:"in"`
	} `json:"parameters"`
	RequestBody media            `json:"requestBody"`
	Responses   map[string]media `json:"responses"`
}

type spec struct {
	Info struct {
		Version string `json:"version"`
	} `json:"info"`
	Paths      map[string]map[string]operation `json:"paths"`
	Components struct {
		Schemas map[string]*schema `json:"schemas"`
	} `json:"components"`
}

// check returns everything in v that the schema does not allow: fields that do
// not exist, required ones that are absent, wrong types, nulls and enum values.
func (sp *spec) check(v any, s *schema, at string) []string {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return sp.check(v, sp.Components.Schemas[name], at)
	}
	if v == nil {
		if !s.Nullable {
			return []string{at + " is null"}
		}
		return nil
	}
	if len(s.AnyOf) > 0 {
		var best []string
		for i, option := range s.AnyOf {
			if bad := sp.check(v, option, at); i == 0 || len(bad) < len(best) {
				best = bad
			}
		}
		return best
	}
	switch v := v.(type) {
	case map[string]any:
		return sp.checkObject(v, s, at)
	case []any:
		if s.Type != "array" {
			return []string{at + " is an array, not " + s.Type}
		}
		var bad []string
		for i, item := range v {
			bad = append(bad, sp.check(item, s.Items, fmt.Sprintf("%s[%d]", at, i))...)
		}
		return bad
	case string:
		if s.Type != "string" || (s.Enum != nil && !slices.Contains(s.Enum, any(v))) {
			return []string{fmt.Sprintf("%s is %q, not %s %v", at, v, s.Type, s.Enum)}
		}
	case bool:
		if s.Type != "boolean" || (s.Enum != nil && !slices.Contains(s.Enum, any(v))) {
			return []string{fmt.Sprintf("%s is %v, not %s %v", at, v, s.Type, s.Enum)}
		}
	case float64:
		if s.Type != "number" && (s.Type != "integer" || v != math.Trunc(v)) {
			return []string{fmt.Sprintf("%s is %v, not %s", at, v, s.Type)}
		}
	}
	return nil
}

func (sp *spec) checkObject(v map[string]any, s *schema, at string) []string {
	if s.Type != "object" {
		return []string{at + " is an object, not " + s.Type}
	}
	var bad []string
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			bad = append(bad, at+"."+name+" is required and absent")
		}
	}
	var rest *schema
	anything := string(s.AdditionalProperties) == "true"
	if len(s.AdditionalProperties) > 0 && s.AdditionalProperties[0] == '{' {
		rest = &schema{}
		if err := json.Unmarshal(s.AdditionalProperties, rest); err != nil {
			return []string{at + ": " + err.Error()}
		}
	}
	for name, field := range v {
		switch property := s.Properties[name]; {
		case property != nil:
			bad = append(bad, sp.check(field, property, at+"."+name)...)
		case rest != nil:
			bad = append(bad, sp.check(field, rest, at+"."+name)...)
		case !anything:
			bad = append(bad, at+"."+name+" does not exist")
		}
	}
	return bad
}

// operation finds the description of a call.
func (sp *spec) operation(method, path string) (operation, bool) {
	for template, ops := range sp.Paths {
		want, got := strings.Split(template, "/"), strings.Split(path, "/")
		if len(want) != len(got) {
			continue
		}
		ok := true
		for i := range want {
			ok = ok && (want[i] == got[i] || (strings.HasPrefix(want[i], "{") && (got[i] == "{id}" || strings.Contains(got[i], "_")) && i == 3))
		}
		if op, has := ops[strings.ToLower(method)]; ok && has {
			return op, true
		}
	}
	return operation{}, false
}

// checked is a sandbox whose every reply is held against the description.
type checked struct {
	t  *testing.T
	h  http.Handler
	sp *spec
	n  int
}

// recorder keeps the reply for checking while it is written.
type recorder struct {
	http.ResponseWriter
	status int
	body   []byte
}

func (r *recorder) WriteHeader(status int) { r.status = status; r.ResponseWriter.WriteHeader(status) }

func (r *recorder) Write(b []byte) (int, error) {
	r.body = append(r.body, b...)
	return r.ResponseWriter.Write(b)
}

func (c *checked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.n++
	rec := &recorder{ResponseWriter: w}
	c.h.ServeHTTP(rec, r)
	op, ok := c.sp.operation(r.Method, r.URL.Path)
	if !ok {
		c.t.Errorf("%s %s is not in Stripe's description", r.Method, r.URL.Path)
		return
	}
	answer, ok := op.Responses[fmt.Sprint(rec.status)]
	if !ok {
		answer = op.Responses["default"]
	}
	var v any
	if err := json.Unmarshal(rec.body, &v); err != nil {
		c.t.Fatal(err)
	}
	for _, bad := range c.sp.check(v, answer.schema(), fmt.Sprintf("%s %s: %d ", r.Method, r.URL.Path, rec.status)) {
		c.t.Error(bad)
	}
}

// loadSpec reads Stripe's OpenAPI description of the v1 API.
func loadSpec(t *testing.T) *spec {
	t.Helper()
	path := os.Getenv("OUTGO_STRIPE_SPEC")
	if path == "" {
		const how = "OUTGO_STRIPE_SPEC is not set: point it at embedded/openapi/spec3.json of the module github.com/stripe/stripe-mock " +
			"(go mod download -json github.com/stripe/stripe-mock@v0.203.0 prints its Dir)"
		if os.Getenv("OUTGO_TEST_REQUIRE") == "all" {
			t.Fatal(how)
		}
		t.Skip(how)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sp := &spec{}
	if err := json.Unmarshal(raw, sp); err != nil {
		t.Fatal(err)
	}
	return sp
}

func TestEveryReplyFitsStripesDescription(t *testing.T) {
	sp := loadSpec(t)
	if sp.Info.Version != Version {
		t.Logf("the description is of API version %s, the sandbox of %s", sp.Info.Version, Version)
	}
	c := &checked{t: t, h: New(Options{}), sp: sp}
	s := stripe{t, c}
	get := func(target string) { s.get(target) }

	cus := s.ok("/v1/customers", "email=a@example.com&name=A&metadata[a]=b&source=tok_visa")["id"].(string)
	get("/v1/customers/" + cus)
	pi := s.ok("/v1/payment_intents", paid+"&customer="+cus+"&metadata[order]=7&description=d&receipt_email=a@example.com"+
		"&application_fee_amount=10&transfer_data[destination]=acct_1&transfer_data[amount]=5&on_behalf_of=acct_1&transfer_group=g"+
		"&setup_future_usage=off_session&statement_descriptor_suffix=X&expand[]=latest_charge.customer&expand[]=customer")
	charge := pi["latest_charge"].(map[string]any)["id"].(string)
	get("/v1/payment_intents/" + pi["id"].(string))
	get("/v1/charges/" + charge + "?expand[]=payment_intent")
	re := s.ok("/v1/refunds", "charge="+charge+"&amount=100&reason=duplicate&metadata[a]=b&expand[]=payment_intent")
	get("/v1/refunds/" + re["id"].(string) + "?expand[]=charge")

	plain := s.ok("/v1/payment_intents", "amount=100&currency=jpy&payment_method_types[]=card")["id"].(string)
	s.ok("/v1/payment_intents/"+plain, "amount=200&payment_method=pm_card_visa&metadata[a]=b")
	s.ok("/v1/payment_intents/"+plain+"/confirm", "capture_method=manual")
	s.ok("/v1/payment_intents/"+plain+"/increment_authorization", "amount=300")
	s.ok("/v1/payment_intents/"+plain+"/capture", "amount_to_capture=250")
	held := s.ok("/v1/payment_intents", paid+"&capture_method=manual")["id"].(string)
	s.ok("/v1/payment_intents/"+held+"/cancel", "cancellation_reason=abandoned")
	threeD := "amount=1200&currency=usd&confirm=true&payment_method=pm_card_threeDSecureRequired"
	s.ok("/v1/payment_intents", threeD)
	s.ok("/v1/payment_intents", threeD+"&return_url=https://shop.example/back")

	loose := s.ok("/v1/charges", "amount=300&currency=eur&source=tok_mastercard&capture=false&transfer_data[destination]=acct_1")["id"].(string)
	s.ok("/v1/charges/"+loose+"/capture", "amount=200")
	tr := s.ok("/v1/transfers", "currency=eur&destination=acct_1&source_transaction="+loose+"&expand[]=source_transaction")["id"].(string)
	get("/v1/transfers/" + tr)
	po := s.ok("/v1/payouts", "amount=300&currency=usd&method=instant&metadata[a]=b")["id"].(string)
	get("/v1/payouts/" + po)
	get("/v1/balance")
	get("/v1/events?limit=100")
	get("/v1/events?type=payout.created")
	for _, kind := range []string{"payment_intents", "charges", "refunds", "transfers", "payouts", "customers"} {
		get("/v1/" + kind + "?limit=1")
	}
	for _, refused := range [][2]string{
		{"/v1/payment_intents", strings.Replace(paid, "visa", "chargeDeclined", 1)},
		{"/v1/charges", "amount=5&currency=usd&source=tok_chargeDeclinedInsufficientFunds"},
		{"/v1/payment_intents/" + held + "/confirm", ""},
		{"/v1/payment_intents", "amount=x&currency=usd"},
		{"/v1/refunds", "payment_intent=" + held},
	} {
		if re, v := s.do(http.MethodPost, refused[0], refused[1]); re.StatusCode < 400 {
			t.Errorf("%s %s was not refused: %v", refused[0], refused[1], v)
		}
	}
	if c.n < 34 {
		t.Errorf("only %d calls were checked", c.n)
	}
}

func TestRoutesTakeTheParametersThatStripeTakes(t *testing.T) {
	sp := loadSpec(t)
	for _, rt := range routes() {
		op, ok := sp.operation(rt.method, rt.path)
		if !ok {
			t.Errorf("%s %s is not in Stripe's description", rt.method, rt.path)
			continue
		}
		var want []string
		for _, p := range op.Parameters {
			if p.In == "query" {
				want = append(want, p.Name)
			}
		}
		if body := op.RequestBody.schema(); rt.method == http.MethodPost && body != nil {
			for name := range body.Properties {
				want = append(want, name)
			}
		}
		got := strings.Fields(rt.params)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s %s takes\n%v, Stripe's\n%v", rt.method, rt.path, got, want)
		}
	}
}

// The walker itself must find each kind of fault, or its silence means nothing.
func TestTheWalkerFindsFaults(t *testing.T) {
	sp := &spec{}
	if err := json.Unmarshal([]byte(`{"components":{"schemas":{
		"thing":{"type":"object","required":["id"],"properties":{
			"id":{"type":"string"},"n":{"type":"integer","nullable":true},"kind":{"type":"string","enum":["a","b"]},
			"next":{"anyOf":[{"type":"string"},{"$ref":"#/components/schemas/thing"}]},
			"list":{"type":"array","items":{"type":"boolean"}},"map":{"type":"object","additionalProperties":{"type":"string"}}}}}}}`), sp); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]int{
		`{"id":"x","n":null,"kind":"a","next":{"id":"y"},"list":[true],"map":{"k":"v"}}`: 0,
		`{}`: 1, `{"id":null}`: 1, `{"id":1}`: 1, `{"id":"x","n":1.5}`: 1, `{"id":"x","kind":"c"}`: 1, `{"id":"x","more":1}`: 1,
		`{"id":"x","next":{"n":"1"}}`: 1, `{"id":"x","list":[1,true]}`: 1, `{"id":"x","map":{"k":1}}`: 1, `{"id":"x","list":{}}`: 1, `[]`: 1,
	} {
		var v any
		if err := json.Unmarshal([]byte(value), &v); err != nil {
			t.Fatal(err)
		}
		if got := sp.check(v, &schema{Ref: "#/components/schemas/thing"}, "thing"); len(got) != want {
			t.Errorf("%s: %d faults %v, want %d", value, len(got), got, want)
		}
	}
}
