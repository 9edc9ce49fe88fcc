package policy

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

const usdc = "eip155:1/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"

func usd(n int64) spend.Amount { return spend.NewAmount("USD", n) }

func count(n int) *int { return &n }

// open returns a policy in USD that limits nothing.
func open() *Policy {
	return &Policy{ID: "p1", Name: "default", Version: 3, Unit: "USD", Active: true, Capabilities: "allow"}
}

func charge(cents int64) spend.Leg { return spend.Leg{Kind: spend.Charge, Amount: usd(cents)} }

func payment(legs ...spend.Leg) *spend.Intent {
	return &spend.Intent{
		Agent: "a1", Rail: "stripe", Class: spend.Spend, Operation: "payment_intents.create",
		Network: "stripe", Mode: spend.Live, Legs: legs,
	}
}

func TestMatches(t *testing.T) {
	tests := map[string]struct {
		change func(*Policy, *spend.Intent)
		want   bool
	}{
		"an empty scope matches everything":                    {func(*Policy, *spend.Intent) {}, true},
		"an inactive policy matches nothing":                   {func(p *Policy, _ *spend.Intent) { p.Active = false }, false},
		"a listed agent matches":                               {func(p *Policy, _ *spend.Intent) { p.Scope.Agents = []string{"b", "a1"} }, true},
		"another agent does not match":                         {func(p *Policy, _ *spend.Intent) { p.Scope.Agents = []string{"a2"} }, false},
		"a listed rail matches":                                {func(p *Policy, _ *spend.Intent) { p.Scope.Rails = []string{"stripe"} }, true},
		"another rail does not match":                          {func(p *Policy, _ *spend.Intent) { p.Scope.Rails = []string{"evm"} }, false},
		"eth:1 in a scope is eip155:1":                         {func(p *Policy, in *spend.Intent) { p.Scope.Networks, in.Network = []string{"eth:1"}, "eip155:1" }, true},
		"another network does not match":                       {func(p *Policy, in *spend.Intent) { p.Scope.Networks, in.Network = []string{"eip155:1"}, "eip155:10" }, false},
		"a family of operations matches its members":           {func(p *Policy, _ *spend.Intent) { p.Scope.Operations = []string{"payment_intents.*"} }, true},
		"a family needs its dot":                               {func(p *Policy, _ *spend.Intent) { p.Scope.Operations = []string{"payment.*"} }, false},
		"an operation without a star matches itself only":      {func(p *Policy, _ *spend.Intent) { p.Scope.Operations = []string{"payment_intents"} }, false},
		"an operation matches itself":                          {func(p *Policy, _ *spend.Intent) { p.Scope.Operations = []string{"payment_intents.create"} }, true},
		"a listed mode matches":                                {func(p *Policy, in *spend.Intent) { p.Scope.Modes, in.Mode = []string{"test"}, spend.Test }, true},
		"a policy for test mode does not apply to live money":  {func(p *Policy, _ *spend.Intent) { p.Scope.Modes = []string{"test"} }, false},
		"a policy for test mode does not apply to no mode":     {func(p *Policy, in *spend.Intent) { p.Scope.Modes, in.Mode = []string{"test"}, "" }, false},
		"a policy for live money applies where mode is absent": {func(p *Policy, in *spend.Intent) { p.Scope.Modes, in.Mode = []string{"live"}, "" }, true},
		"every part of a scope must match":                     {func(p *Policy, _ *spend.Intent) { p.Scope = Scope{Agents: []string{"a1"}, Rails: []string{"evm"}} }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, in := open(), payment(charge(1))
			tt.change(p, in)
			if got := p.Matches(in); got != tt.want {
				t.Errorf("Matches = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestChargeAndExposure(t *testing.T) {
	coin := func(n, cents int64) spend.Leg {
		return spend.Leg{Kind: spend.Transfer, Amount: spend.NewAmount(usdc, n), Value: usd(cents)}
	}
	allowance := func(a spend.Amount) spend.Leg { return spend.Leg{Kind: spend.Allowance, Amount: a} }
	huge, err := spend.ParseAmount("USD", largest)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		unit             string
		legs             []spend.Leg
		charge, exposure spend.Amount
		chargeErr        bool
	}{
		"legs of the policy's unit add up": {
			"USD", []spend.Leg{charge(5), {Kind: spend.Fee, Amount: usd(2)}}, usd(7), spend.Amount{}, false},
		"legs of another unit are left out": {
			"USD", []spend.Leg{charge(5), {Kind: spend.Charge, Amount: spend.NewAmount("EUR", 9)}}, usd(5), spend.Amount{}, false},
		"nothing covered is no amount": {
			"EUR", []spend.Leg{charge(5)}, spend.Amount{}, spend.Amount{}, false},
		"an asset weighs what it is valued at": {
			"USD", []spend.Leg{coin(1_500_000, 150)}, usd(150), spend.Amount{}, false},
		"a policy of the asset's own unit sees its own number": {
			usdc, []spend.Leg{coin(1_500_000, 150)}, spend.NewAmount(usdc, 1_500_000), spend.Amount{}, false},
		"allowances are apart": {
			"USD", []spend.Leg{charge(5), allowance(usd(70)), allowance(usd(1))}, usd(5), usd(71), false},
		"an allowance without a bound stays without one": {
			"USD", []spend.Leg{allowance(spend.Unlimited("USD")), allowance(usd(1))}, spend.Amount{}, spend.Unlimited("USD"), false},
		"no valuation bounds what is unlimited": {
			"USD", []spend.Leg{{Kind: spend.Allowance, Amount: spend.Unlimited(usdc), Value: usd(1)}}, spend.Amount{}, spend.Unlimited("USD"), false},
		"a leg of unknown amount is not covered": {
			"USD", []spend.Leg{{Kind: spend.Charge}}, spend.Amount{}, spend.Amount{}, false},
		"a policy without a unit covers nothing": {
			"", []spend.Leg{{Kind: spend.Charge}}, spend.Amount{}, spend.Amount{}, false},
		"a negative leg is an error": {
			"USD", []spend.Leg{charge(5), charge(-4)}, spend.Amount{}, spend.Amount{}, true},
		"a positive value does not hide a negative leg": {
			"USD", []spend.Leg{coin(-3, 1)}, spend.Amount{}, spend.Amount{}, true},
		"a sum beyond 2^256-1 is an error": {
			"USD", []spend.Leg{{Kind: spend.Charge, Amount: huge}, charge(1)}, spend.Amount{}, spend.Amount{}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := open()
			p.Unit = tt.unit
			got, covers, err := p.Charge(payment(tt.legs...))
			if got != tt.charge || covers == tt.charge.IsZero() || (err != nil) != tt.chargeErr {
				t.Errorf("Charge = %v, %v, %v, want %v, error %v", got, covers, err, tt.charge, tt.chargeErr)
			}
			if err != nil && !errors.Is(err, spend.Invalid) {
				t.Errorf("Charge: %v is not Invalid", err)
			}
			got, covers, err = p.Exposure(payment(tt.legs...))
			if got != tt.exposure || covers == tt.exposure.IsZero() || err != nil {
				t.Errorf("Exposure = %v, %v, %v, want %v", got, covers, err, tt.exposure)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		change func(*Policy)
		field  string // "" for a policy that is right
	}{
		"an open policy is right":               {func(*Policy) {}, ""},
		"a limit of nought is right":            {func(p *Policy) { p.Daily = usd(0) }, ""},
		"an asset's unit is right":              {func(p *Policy) { p.Unit = usdc; p.Daily = spend.NewAmount(usdc, 5) }, ""},
		"a zone is right":                       {func(p *Policy) { p.Zone = "Asia/Tokyo" }, ""},
		"a merchant with scheme is right":       {func(p *Policy) { p.AllowedMerchants = []string{"https://WWW.Acme.example/"} }, ""},
		"a family of operations is right":       {func(p *Policy) { p.Scope.Operations = []string{"payouts.*"} }, ""},
		"a name is needed":                      {func(p *Policy) { p.Name = " " }, "name"},
		"a rename has another name":             {func(p *Policy) { p.Was = p.Name }, "was"},
		"a unit is needed":                      {func(p *Policy) { p.Unit = "" }, "unit"},
		"a unit is in normal form":              {func(p *Policy) { p.Unit = "usd" }, "unit"},
		"a short asset id is not normal":        {func(p *Policy) { p.Unit = "eth:1/slip44:60" }, "unit"},
		"a unit has no spaces":                  {func(p *Policy) { p.Unit = "US D" }, "unit"},
		"an asset id has no spaces":             {func(p *Policy) { p.Unit = "eip155:1/ x" }, "unit"},
		"a capability word is known":            {func(p *Policy) { p.Capabilities = "ALLOW" }, "capabilities"},
		"capabilities by operation are right":   {func(p *Policy) { p.CapabilityRules = map[string]string{"a.b": "deny", "a.*": "allow", "b": "hold"} }, ""},
		"a word for an operation is known":      {func(p *Policy) { p.CapabilityRules = map[string]string{"a.b": "flag"} }, `capabilities["a.b"]`},
		"a word for an operation is needed":     {func(p *Policy) { p.CapabilityRules = map[string]string{"a.b": ""} }, `capabilities["a.b"]`},
		"a pattern for all is the default":      {func(p *Policy) { p.CapabilityRules = map[string]string{"*": "deny"} }, `capabilities["*"]`},
		"a star stands at the end of a pattern": {func(p *Policy) { p.CapabilityRules = map[string]string{"a.*.b": "deny"} }, `capabilities["a.*.b"]`},
		"duplicates are right":                  {func(p *Policy) { p.Duplicates, p.DuplicatesAcross, p.DuplicateWindow = "hold", "all", time.Hour }, ""},
		"a word for duplicates is known":        {func(p *Policy) { p.Duplicates = "ask" }, "duplicates"},
		"whose duplicates is known":             {func(p *Policy) { p.DuplicatesAcross = "team" }, "duplicatesAcross"},
		"a window is no time before now":        {func(p *Policy) { p.DuplicateWindow = -1 }, "duplicateWindow"},
		"a window has a bound":                  {func(p *Policy) { p.DuplicateWindow = 745 * time.Hour }, "duplicateWindow"},
		"a zone is known":                       {func(p *Policy) { p.Zone = "Europe/Atlantis" }, "timezone"},
		"a zone is not the machine's":           {func(p *Policy) { p.Zone = "Local" }, "timezone"},
		"a single limit is not negative":        {func(p *Policy) { p.MaxSingle = usd(-1) }, "maxSingleAmount"},
		"a daily limit has the policy's unit":   {func(p *Policy) { p.Daily = spend.NewAmount("EUR", 1) }, "dailyLimit"},
		"a monthly limit is not unlimited":      {func(p *Policy) { p.Monthly = spend.Unlimited("USD") }, "monthlyLimit"},
		"an approval bound is not negative":     {func(p *Policy) { p.RequireApprovalOver = usd(-1) }, "requireApprovalOver"},
		"an exposure limit is not negative":     {func(p *Policy) { p.MaxExposure = usd(-1) }, "maxExposure"},
		"a rate a minute is not negative":       {func(p *Policy) { p.PerMinute = count(-1) }, "maxTransactionsPerMinute"},
		"a rate an hour is not negative":        {func(p *Policy) { p.PerHour = count(-1) }, "maxTransactionsPerHour"},
		"a merchant has no wildcard":            {func(p *Policy) { p.BlockedMerchants = []string{"a.example", "*.b.example"} }, "blockedMerchants"},
		"a merchant is not empty":               {func(p *Policy) { p.AllowedMerchants = []string{"https://"} }, "allowedMerchants"},
		"a category is not empty":               {func(p *Policy) { p.BlockedCategories = []string{""} }, "blockedCategories"},
		"a payee has no spaces around it":       {func(p *Policy) { p.AllowedPayees = []string{"acct_1 "} }, "allowedPayees"},
		"a scope's agent is not empty":          {func(p *Policy) { p.Scope.Agents = []string{""} }, "scope.agents"},
		"a star stands only behind a dot":       {func(p *Policy) { p.Scope.Operations = []string{"pay*"} }, "scope.operations"},
		"a star alone is no family":             {func(p *Policy) { p.Scope.Operations = []string{"*"} }, "scope.operations"},
		"an empty family is none":               {func(p *Policy) { p.Scope.Operations = []string{".*"} }, "scope.operations"},
		"a mode is known":                       {func(p *Policy) { p.Scope.Modes = []string{"prod"} }, "scope.modes"},
		"a network in a scope is not empty":     {func(p *Policy) { p.Scope.Networks = []string{""} }, "scope.networks"},
		"a rail in a scope has no spaces":       {func(p *Policy) { p.Scope.Rails = []string{" evm"} }, "scope.rails"},
		"a category allowed is not just spaces": {func(p *Policy) { p.AllowedCategories = []string{" "} }, "allowedCategories"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := open()
			tt.change(p)
			err := p.Validate()
			if tt.field == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var fe *FieldError
			if !errors.As(err, &fe) || fe.Field != tt.field || !errors.Is(err, spend.Invalid) {
				t.Fatalf("Validate = %v, want a fault in %s", err, tt.field)
			}
			if !strings.Contains(err.Error(), tt.field+": ") {
				t.Errorf("%q does not name the field", err)
			}
		})
	}
}

func TestAPolicySurvivesTheStore(t *testing.T) {
	p := open()
	p.Daily, p.MaxExposure, p.PerMinute = usd(500), spend.NewAmount("USD", 0), count(0)
	p.AllowedPayees, p.Scope.Modes = []string{"acct_1"}, []string{"live"}
	p.CapabilityRules = map[string]string{"accounts.*": "deny"}
	p.Duplicates, p.DuplicateWindow, p.DuplicatesAcross = "hold", time.Hour, "all"
	p.Created = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var got Policy
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&got, p) {
		t.Errorf("%s came back as %+v", data, got)
	}
	if strings.Contains(string(data), "monthly") {
		t.Errorf("%s writes a limit that is not there", data)
	}
}

func TestAPolicyOfBeforeIsReadAsItWasMeant(t *testing.T) {
	var p Policy
	if err := json.Unmarshal([]byte(`{"id":"p1","name":"default","version":3,"unit":"USD","capabilities":"deny","active":true}`), &p); err != nil {
		t.Fatal(err)
	}
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
	if word := p.capabilityWord("accounts.create"); word != "deny" || p.Recall() != DefaultDuplicateWindow {
		t.Errorf("accounts.create is %q, duplicates are looked for over %s", word, p.Recall())
	}
}

func TestLocation(t *testing.T) {
	var p Policy
	if err := json.Unmarshal([]byte(`{"zone":"Asia/Tokyo"}`), &p); err != nil {
		t.Fatal(err)
	}
	if got := p.Location().String(); got != "Asia/Tokyo" {
		t.Errorf("a decoded policy counts in %s", got)
	}
	if n := testing.AllocsPerRun(10, func() { p.Location() }); n != 0 {
		t.Errorf("a decoded policy resolves its zone again: %v allocations", n)
	}
	p.Zone = "Europe/Berlin"
	if got := p.Location().String(); got != "Europe/Berlin" {
		t.Errorf("a changed policy counts in %s", got)
	}
	if err := p.Validate(); err == nil {
		t.Fatal("a policy without a name is right")
	}
	p.Name, p.Unit = "default", "USD"
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() { p.Location() }); n != 0 {
		t.Errorf("a validated policy resolves its zone again: %v allocations", n)
	}
	p.Zone = ""
	if got := p.Location(); got != time.UTC {
		t.Errorf("a policy without a zone counts in %s", got)
	}
	if err := json.Unmarshal([]byte(`{"zone":"Europe/Atlantis"}`), &p); err == nil {
		t.Error("a stored policy with an unknown zone was decoded")
	}
}
