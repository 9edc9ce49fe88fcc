package shim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Formats are the formats that Render knows.
func Formats() []string { return []string{"shell", "dotenv", "json"} }

// Render prints variables, in order of name, each format ending in a newline:
// "shell" for eval in any POSIX shell, which also unsets what Environ removes,
// "dotenv" for dotenv files, "json" as one object of strings.
func Render(format string, env map[string]string) (string, error) {
	var b strings.Builder
	names := slices.Sorted(maps.Keys(env))
	switch format {
	case "shell":
		for _, name := range names {
			fmt.Fprintf(&b, "export %s='%s'\n", name, strings.ReplaceAll(env[name], "'", `'\''`))
		}
		fmt.Fprintf(&b, "unset %s\n", strings.Join(removed[:], " "))
	case "dotenv":
		for _, name := range names {
			v, err := dotenvQuoted(env[name])
			if err != nil {
				return "", fmt.Errorf("render %s: %w", name, err)
			}
			fmt.Fprintf(&b, "%s=%s\n", name, v)
		}
	case "json":
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(env); err != nil {
			return "", fmt.Errorf("render json: %w", err)
		}
	default:
		return "", fmt.Errorf("unknown format %q: use one of %s", format, strings.Join(Formats(), ", "))
	}
	return b.String(), nil
}

// dotenvQuoted writes a value so that the readers of dotenv files agree on it: bare
// where it may be, which is all that docker --env-file understands, else in single
// quotes, which all take literally. They agree on no escape for a single quote.
func dotenvQuoted(v string) (string, error) {
	bare := strings.IndexFunc(v, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_-./:=@,+%", r)
	}) < 0
	switch {
	case bare:
		return v, nil
	case strings.ContainsAny(v, "'\n\r"):
		return "", fmt.Errorf("a dotenv file cannot hold %q: use the shell or json format", v)
	}
	return "'" + v + "'", nil
}
