package main

import (
	"slices"
	"testing"
)

func TestBothWaysOfTheSDKAreRead(t *testing.T) {
	const byMethods = "export class Things {\n" +
		"    create(params, options) {\n        return this._makeRequest('POST', '/v2/things', params, options);\n    }\n" +
		"    end(id, params) {\n        if (!id) {\n            throw 1;\n        }\n        return this._makeRequest('DELETE', `/v2/things/${encodeURIComponent(id)}/parts/${x}`, params, {\n            apiBase: 'meter_events',\n        });\n    }\n" +
		"    list() {\n        return this._makeRequest('GET', '/v2/things');\n    }\n}\n"
	const byTable = "export const Things = StripeResource.extend({\n" +
		"    create: stripeMethod({ method: 'POST', fullPath: '/v1/things' }),\n" +
		"    upload: stripeMethod({\n        method: 'POST',\n        fullPath: '/v1/things/{thing}/files',\n        host: 'files.stripe.com',\n    }),\n" +
		"    list: stripeMethod({\n        method: 'GET',\n        fullPath: '/v1/things',\n    }),\n});\n"
	for name, c := range map[string]struct {
		source string
		want   []string
	}{
		"calls in methods":   {byMethods, []string{"POST /v2/things V2.Things.create", "DELETE meter-events.stripe.com/v2/things/{id}/parts/{id} V2.Things.end"}},
		"entries of a table": {byTable, []string{"POST /v1/things V2.Things.create", "POST files.stripe.com/v1/things/{id}/files V2.Things.upload"}},
	} {
		list, err := sdkOperations(map[string]string{"V2/Things.js": c.source})
		var got []string
		for _, o := range list {
			got = append(got, o.key()+" "+o.source)
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
	if list, err := sdkOperations(map[string]string{"Odd.js": "    create(p) {\n        return this._makeRequest(verb, '/v1/odd', p);\n    }\n"}); err == nil {
		t.Errorf("an operation written in a third way passes as %v", list)
	}
}

func TestAnOperationBelongsToWhereItIsSeenFirst(t *testing.T) {
	list := operations{}.join(operations{{method: "POST", pattern: "/v1/a"}, {method: "POST", pattern: "/v1/b"}}, false)
	list = list.join(operations{{method: "POST", pattern: "/v1/b", inSDK: true}, {method: "POST", pattern: "/v2/c", inSDK: true}}, false)
	list = list.join(operations{{method: "POST", pattern: "/v1/d", inSDK: true}, {method: "POST", pattern: "/v2/c", inSDK: true}, {method: "POST", pattern: "/v2/e", inSDK: true}}, true)
	render(list)
	var got []string
	for _, o := range list {
		got = append(got, o.pattern+" "+o.surface)
	}
	if want := []string{"/v1/a alias", "/v1/b public", "/v1/d preview", "/v2/c v2", "/v2/e v2-preview"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
