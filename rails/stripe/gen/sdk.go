package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// sdkOperations lists the writes in the sources of a release of stripe-node, all
// of which Stripe generates. Releases up to 20 write an operation as an entry of a
// table, later ones as a call in a method.
func sdkOperations(sources map[string]string) (operations, error) {
	var (
		declared  = regexp.MustCompile(`(?m)^    (\w+)(?:\([^)]*\) \{|: (?:stripeMethod|StripeResource\.method)\(\{)`)
		asCall    = regexp.MustCompile("_makeRequest\\(\\s*'([A-Z]+)',\\s*[`']([^`']*)[`']")
		asEntry   = regexp.MustCompile(`method: '([A-Z]+)',\s*fullPath: '([^']*)'`)
		byObject  = regexp.MustCompile(`'GET',\s*(?:fullPath: )?pulledEvent\.`) // reads what an event names
		otherHost = regexp.MustCompile(`(?:apiBase|host): '([\w.-]+)'`)
		parameter = regexp.MustCompile(`\$?\{[^}]*\}`)
	)
	var list operations
	for _, file := range slices.Sorted(maps.Keys(sources)) {
		source := sources[file]
		written := len(byObject.FindAllString(source, -1))
		names := declared.FindAllStringSubmatchIndex(source, -1)
		for i, at := range names {
			body := source[at[1]:]
			if i+1 < len(names) {
				body = source[at[1]:names[i+1][0]]
			}
			host := ""
			if m := otherHost.FindStringSubmatch(body); m != nil {
				host = hostOf(m[1])
			}
			for _, m := range append(asCall.FindAllStringSubmatch(body, -1), asEntry.FindAllStringSubmatch(body, -1)...) {
				written++
				if m[1] == "GET" {
					continue
				}
				list = append(list, operation{
					method: m[1], pattern: host + patternOf(m[2], parameter), inSDK: true,
					source: strings.ReplaceAll(strings.TrimSuffix(file, ".js"), "/", ".") + "." + source[at[2]:at[3]],
				})
			}
		}
		// A third way to write them must not pass unnoticed.
		if all := strings.Count(source, "_makeRequest(") + strings.Count(source, "fullPath: "); all != written {
			return nil, fmt.Errorf("%s: %d of %d operations were understood", file, written, all)
		}
	}
	return list, nil
}

// hostOf returns the host that an SDK calls by a word of its own.
func hostOf(base string) string {
	switch base {
	case "files", "connect":
		return base + ".stripe.com"
	case "meter_events":
		return "meter-events.stripe.com"
	}
	return base
}
