package pinti_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp/fasthttputil"
	"go.uber.org/zap"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/api"
	"github.com/outgo/outgo/engine/api/pinti"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/tokens/seal"
)

// A desk is a control API with one key of each role.
type desk struct {
	t      *testing.T
	http   *http.Client
	engine *engine.Engine
	routes []api.Route
	keys   map[string]string // by holder
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	st, err := badgerstore.Open(badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	eng, err := engine.Open(context.Background(), engine.Options{Store: st, Sealer: seal.FromBytes([32]byte{1})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(eng.Close)
	usd := func(n int64) spend.Amount { return spend.NewAmount("USD", n) }
	if _, err := eng.SyncPolicies(context.Background(), []policy.Policy{{Name: "p", Unit: "USD", Active: true, Daily: usd(50000), RequireApprovalOver: usd(5000)}}); err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, engine: eng, keys: map[string]string{"admin": "k-admin", "approver": "k-approver", "bot": "k-bot", "other": "k-other"}}
	for name, secret := range d.keys {
		k := engine.APIKey{Prefix: "outgo_" + name, Role: name, Digest: "d:" + secret}
		if name == "bot" || name == "other" {
			k.Role, k.Agent = "agent", name
		}
		if _, err := eng.AddAPIKey(context.Background(), engine.Actor{}, k); err != nil {
			t.Fatal(err)
		}
	}
	minted := 0
	d.routes = pinti.Routes(pinti.Options{Engine: eng, Mint: func() (string, string, string, error) {
		minted++
		s := fmt.Sprintf("outgo_mint%04d_secret", minted)
		return s[:14], s, "d:" + s, nil
	}})
	srv := api.New(api.Options{Engine: eng, Digest: func(s string) string { return "d:" + s }, Routes: d.routes, Log: zap.NewNop()})
	ln := fasthttputil.NewInmemoryListener()
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = ln.Close() })
	d.http = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return ln.Dial() }}}
	t.Cleanup(d.http.CloseIdleConnections)
	return d
}

// call sends a request with the key of who ("" for none) and decodes the reply.
func (d *desk) call(who, method, path, body string, want int) (out any) {
	d.t.Helper()
	req, err := http.NewRequest(method, "http://outgo"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		d.t.Fatal(err)
	}
	if who != "" {
		req.Header.Set("x-api-key", d.keys[who])
	}
	resp, err := d.http.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != want {
		d.t.Fatalf("%s %s as %q: %d %s, want %d", method, path, who, resp.StatusCode, raw, want)
	}
	if len(raw) > 0 && json.Unmarshal(raw, &out) != nil {
		d.t.Fatalf("%s %s: not JSON: %s", method, path, raw)
	}
	return out
}

func (d *desk) held(cents int64) string {
	d.t.Helper()
	r, err := d.engine.Authorize(context.Background(), spend.Intent{
		Agent: "bot", Rail: "stripe", Class: spend.Spend, Operation: "charges.create", Network: "stripe", Fingerprint: fmt.Sprint(cents),
		Legs:   []spend.Leg{{Kind: spend.Charge, Amount: spend.NewAmount("USD", cents), Merchant: "aws", ClaimedMerchant: true}},
		Claims: spend.Claims{Reason: "credits"},
	})
	if err != nil || r.Next != spend.Await {
		d.t.Fatal(r.Next, err)
	}
	return string(r.Request.ID)
}

func TestAPersonResolvesAndTheRequestSaysSo(t *testing.T) {
	d := newDesk(t)
	for _, c := range []struct {
		status, decision, approval string
		cents                      int64
	}{{"APPROVED", "ALLOW", "APPROVED", 6000}, {"REJECTED", "DENY", "REJECTED", 7000}} {
		id := d.held(c.cents)
		before := d.call("bot", "GET", "/api/v1/spend-requests/"+id, "", 200).(map[string]any)
		if before["decision"] != "REQUIRE_APPROVAL" || before["decisionReason"] != "REQUIRES_APPROVAL" || before["amountMinor"] != float64(c.cents) ||
			before["approval"].(map[string]any)["status"] != "PENDING" || before["approval"].(map[string]any)["decidedAt"] != nil {
			t.Fatalf("%v", before)
		}
		if list := d.call("approver", "GET", "/api/v1/approvals?status=PENDING", "", 200).([]any); len(list) != 1 || list[0].(map[string]any)["id"] != id {
			t.Fatalf("pending: %v", list)
		}
		got := d.call("approver", "POST", "/api/v1/approvals/"+id+"/resolve", `{"status":"`+c.status+`","note":"Looks good, proceed."}`, 200).(map[string]any)
		a := got["approval"].(map[string]any)
		if got["decision"] != c.decision || a["status"] != c.approval || a["note"] != "Looks good, proceed." || a["decidedAt"] == nil {
			t.Errorf("%s: %v", c.status, got)
		}
		d.call("approver", "POST", "/v1/approvals/"+id+"/resolve", `{"status":"APPROVED"}`, 409)
		for decision, n := range map[string]int{c.decision: 1, "REQUIRE_APPROVAL": 0} { // filtered as shown
			if list := d.call("admin", "GET", "/v1/spend-requests?q="+id+"&decision="+decision, "", 200).([]any); len(list) != n {
				t.Errorf("%s: %d of decision %s, want %d", c.status, len(list), decision, n)
			}
		}
		if list := d.call("admin", "GET", "/v1/approvals?status="+c.status, "", 200).([]any); len(list) != 1 {
			t.Errorf("%s: %v", c.status, list)
		}
	}
}

func TestErrorsHavePintisForm(t *testing.T) {
	d := newDesk(t)
	id := d.held(6000)
	for name, c := range map[string]struct {
		who, method, path, body string
		status                  int
		says                    string
	}{
		"no key":              {"", "GET", "/api/v1/spend-requests", "", 401, "API key"},
		"unknown id":          {"admin", "GET", "/api/v1/spend-requests/nope", "", 404, "not found"},
		"another agent's":     {"other", "GET", "/api/v1/spend-requests/" + id, "", 404, "not found"},
		"listing for another": {"other", "GET", "/api/v1/spend-requests?agentId=bot", "", 403, "belongs to agent"},
		"an agent approves":   {"bot", "POST", "/api/v1/approvals/" + id + "/resolve", `{"status":"APPROVED"}`, 403, "agent's key"},
		"another approves":    {"other", "POST", "/api/v1/approvals/" + id + "/resolve", `{"status":"APPROVED"}`, 403, "agent's key"},
		"a bad status":        {"approver", "POST", "/api/v1/approvals/" + id + "/resolve", `{"status":"MAYBE"}`, 400, "APPROVED or REJECTED"},
		"no JSON":             {"approver", "POST", "/api/v1/approvals/" + id + "/resolve", `status=APPROVED`, 400, "not valid JSON"},
		"an unknown field":    {"approver", "POST", "/api/v1/approvals/" + id + "/resolve", `{"status":"APPROVED","force":true}`, 400, "force"},
		"two values":          {"approver", "POST", "/api/v1/approvals/" + id + "/resolve", `{"status":"APPROVED"}{}`, 400, "one JSON value"},
		"the wrong method":    {"admin", "PUT", "/api/v1/policies", "", 405, "takes GET"},
		"a bad limit":         {"admin", "GET", "/api/v1/spend-requests?limit=999", "", 400, "1 to 200"},
		"an unknown filter":   {"admin", "GET", "/api/v1/spend-requests?agent=bot", "", 400, "agentId, merchant"},
		"a filter twice":      {"admin", "GET", "/api/v1/spend-requests?state=held&state=denied", "", 400, "twice"},
		"a bad decision":      {"admin", "GET", "/api/v1/spend-requests?decision=ALLOWED", "", 400, "REQUIRE_APPROVAL"},
		"an unknown status":   {"admin", "GET", "/api/v1/approvals?state=held", "", 400, "status, cursor"},
		"a bad time":          {"admin", "GET", "/api/v1/spend-requests?from=yesterday", "", 400, "2026-01-31"},
	} {
		got, _ := d.call(c.who, c.method, c.path, c.body, c.status).(map[string]any)
		if m, _ := got["error"].(string); !strings.Contains(m, c.says) || len(got) != 1 {
			t.Errorf("%s: %v, want an error that says %q", name, got, c.says)
		}
	}
	if r, err := d.engine.Request(context.Background(), spend.ID(id)); err != nil || r.State != spend.Held {
		t.Errorf("after all that the request is %s, %v", r.State, err)
	}
	d.call("admin", "GET", "/api/v1/nowhere", "", 404)
	d.call("admin", "GET", "/elsewhere", "", 404)
}

// Every route is tried with every key: an agent's key opens nothing that
// decides, reveals others or makes keys.
func TestWhatEachRoleMayDo(t *testing.T) {
	d := newDesk(t)
	for _, r := range d.routes {
		path := "/api/v1" + strings.ReplaceAll(r.Path, "{id}", "none")
		for who, bit := range map[string]api.Roles{"admin": api.Admin, "approver": api.Approver, "bot": api.Agent} {
			if r.Roles&bit == 0 {
				d.call(who, r.Method, path, "", 403)
			}
		}
		d.call("", r.Method, path, "", 401)
		if r.Roles&api.Agent != 0 && r.Method != "GET" && r.Path != "/approvals/{id}/resolve" {
			t.Errorf("%s %s is open to agents", r.Method, r.Path)
		}
	}
}

func TestKeysAreShownOnceAndEnd(t *testing.T) {
	d := newDesk(t)
	made := d.call("admin", "POST", "/api/v1/api-keys", "", 201).(map[string]any)
	if made["role"] != "agent" || made["plaintext"] == nil || made["keyPrefix"] != "outgo_mint0001"[:14] {
		t.Fatalf("%v", made)
	}
	for _, k := range d.call("admin", "GET", "/api/v1/api-keys", "", 200).([]any) {
		if _, shown := k.(map[string]any)["plaintext"]; shown {
			t.Errorf("the list shows a key: %v", k)
		}
	}
	d.keys["made"] = made["plaintext"].(string)
	d.call("made", "GET", "/api/v1/spend-requests", "", 200)
	d.call("admin", "POST", "/api/v1/api-keys/"+made["id"].(string)+"/rotate", "", 201)
	d.call("made", "GET", "/api/v1/spend-requests", "", 200) // within the overlap
	d.call("admin", "DELETE", "/api/v1/api-keys/"+made["id"].(string), "", 200)
	d.call("made", "GET", "/api/v1/spend-requests", "", 401)
	d.call("admin", "POST", "/api/v1/api-keys", `{"role":"root"}`, 400)
}

func TestPoliciesAreListedInPintisNames(t *testing.T) {
	d := newDesk(t)
	p := d.call("admin", "GET", "/api/v1/policies", "", 200).([]any)[0].(map[string]any)
	if p["name"] != "p" || p["dailyLimit"] != 50000.0 || p["monthlyLimit"] != nil || p["requireApprovalOver"] != 5000.0 ||
		p["isActive"] != true || p["unit"] != "USD" || fmt.Sprint(p["allowedMerchants"]) != "[]" || p["maxTransactionsPerMinute"] != nil {
		t.Errorf("%v", p)
	}
	if p["capabilities"] != "hold" || p["duplicates"] != "flag" || p["duplicateWindow"] != "24h0m0s" || p["duplicatesAcross"] != "agent" {
		t.Errorf("what a policy says by default is not written out: %v", p)
	}
	_, err := d.engine.SyncPolicies(context.Background(), []policy.Policy{{
		Name: "p", Unit: "USD", Active: true, Capabilities: "deny", CapabilityRules: map[string]string{"accounts.*": "allow"},
		Duplicates: "deny", DuplicateWindow: time.Hour, DuplicatesAcross: "all",
	}})
	if err != nil {
		t.Fatal(err)
	}
	p = d.call("admin", "GET", "/api/v1/policies", "", 200).([]any)[0].(map[string]any)
	if by := p["capabilities"]; !reflect.DeepEqual(by, map[string]any{"default": "deny", "accounts.*": "allow"}) {
		t.Errorf("capabilities by operation: %v", by)
	}
	if p["duplicates"] != "deny" || p["duplicateWindow"] != "1h0m0s" || p["duplicatesAcross"] != "all" || p["version"] != 2.0 {
		t.Errorf("%v", p)
	}
}

func TestAmountsBeyondWhatJSONReadersKeepAreText(t *testing.T) {
	for n, want := range map[int64]string{5: "5", 1<<53 - 1: "9007199254740991", 1 << 53: `"9007199254740992"`, -(1 << 53): `"-9007199254740992"`} {
		if got := string(api.Minor(spend.NewAmount("USD", n))); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	if got := string(api.Minor(spend.Amount{})); got != "null" {
		t.Error(got)
	}
	if s := api.Stamp(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); *s != "2026-01-01T00:00:00.000Z" {
		t.Error(*s)
	}
}
