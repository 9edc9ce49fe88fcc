package config

import (
	"reflect"
	"strings"
)

// Changes names the settings in which c and other differ, in the order of the file:
// "proxy.auth", "listen.control"; a list or a map is one setting. No value is in it.
func (c *Config) Changes(other *Config) []string {
	return changes(reflect.ValueOf(*c), reflect.ValueOf(*other), "")
}

func changes(a, b reflect.Value, at string) (names []string) {
	if a.Kind() != reflect.Struct || a.Type() == reflect.TypeFor[Origin]() {
		if !reflect.DeepEqual(a.Interface(), b.Interface()) {
			names = append(names, strings.TrimPrefix(at, "."))
		}
		return names
	}
	for i := range a.NumField() {
		if name := a.Type().Field(i).Tag.Get("yaml"); name != "" {
			names = append(names, changes(a.Field(i), b.Field(i), at+"."+name)...)
		}
	}
	return names
}
