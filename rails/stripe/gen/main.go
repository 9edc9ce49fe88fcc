// Command gen makes the table of Stripe's operations. Its first half, list, reads
// what Stripe publishes (inputs.go: two OpenAPI descriptions and three releases of
// an SDK, each pinned by digest) and writes operations.tsv: every write, and every
// read whose reply can hold a secret, with the parameters that name money or who
// gets it. What Stripe no longer describes but may still serve is added by hand in
// added.tsv. Its second half, table, joins that list with classes.tsv, in which
// people say what each operation does to money, and writes ../table_gen.go, the
// tree in which the rail looks operations up.
//
// An operation without a row in classes.tsv, and a row without an operation, stop
// it; the tests of this package say the same of the committed files, and of the
// OpenAPI description that OUTGO_STRIPE_SPEC names.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

//go:generate go run . list
//go:generate go run . table

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "gen: %v\n", err)
		os.Exit(1)
	}
}

// run writes the file that the one argument names, in the directory of this
// package.
func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one argument, list or table, and not %q", args)
	}
	switch args[0] {
	case "list":
		list, err := gather()
		if err != nil {
			return err
		}
		return os.WriteFile("operations.tsv", render(list), 0o644) //nolint:gosec // as readable as the sources beside it
	case "table":
		list, rows, err := load(".")
		if err != nil {
			return err
		}
		source, err := makeTable(list, rows)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join("..", "table_gen.go"), source, 0o644) //nolint:gosec // as above
	}
	return fmt.Errorf("want list or table, and not %q", args[0])
}

// load reads the two lists of operations and the overlay in dir.
func load(dir string) (operations, []row, error) {
	var list operations
	for _, name := range []string{"operations.tsv", "added.tsv"} {
		part, err := readOperations(filepath.Join(dir, name))
		if err != nil {
			return nil, nil, err
		}
		list = append(list, part...)
	}
	rows, err := readRows(filepath.Join(dir, "classes.tsv"))
	return list, rows, err
}
