package present

import (
	"encoding/json"
	"testing"

	"github.com/pawlhq/pawl/approval"
)

func summaryOf(t *testing.T, args any) string {
	t.Helper()
	doc, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	return Plain(Of(approval.View{Tool: "t", Args: doc}, Tool{}).Summary)
}

func TestSummaryInARowIsShort(t *testing.T) {
	for args, want := range map[string]string{
		`{"path":"x","old_text":"a","new_text":"b\nc"}`:   "Change x, +2 −1 lines",
		`{"d":"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b"}`:   "Change x, +1 −1 lines",
		`{"d":"--- a/x\n+++ /dev/null\n@@ -1 +0 @@\n-a"}`: "Delete x, 1 line",
		`{"sql":"DELETE FROM x WHERE y = 'z'"}`:           "Run SQL that deletes rows in x",
	} {
		if got := Plain(Summary(approval.View{Tool: "t", Args: json.RawMessage(args)}, Tool{})); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

func TestSummaryOfChanges(t *testing.T) {
	type object map[string]any
	const hunk = "@@ -1,2 +1,3 @@\n a\n-b\n+c\n+d\n"
	for _, c := range []struct {
		args object
		want string
	}{
		{object{"patch": "--- a/src/pay.ts\n+++ b/src/pay.ts\n" + hunk},
			"Change src/pay.ts in 1 place, 2 lines added and 1 removed"},
		{object{"patch": "--- src/pay.ts\t2026-11-30\n+++ src/pay.ts\t2026-11-30\n" + hunk + "@@ -9 +10 @@\n-x\n+y"},
			"Change src/pay.ts in 2 places, 3 lines added and 2 removed"},
		{object{"diff": "diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n" + hunk},
			"Change x in 1 place, 2 lines added and 1 removed"},
		{object{"diff": "diff --git a/x b/x\nnew file mode 100755\n--- /dev/null\n+++ b/x\n@@ -0,0 +1,2 @@\n+a\n+b\n"},
			"Create x, 2 lines"},
		{object{"diff": "diff --git a/x b/x\ndeleted file mode 100755\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"},
			"Delete x, 1 line"},
		{object{"diff": "--- a/x\n+++ b/x\n" + hunk + "--- a/y\n+++ b/y\n" + hunk},
			"Change x and 1 more file in 2 places, 4 lines added and 2 removed"},
		{object{"diff": "diff --git a/x b/x\n--- a/x\n+++ b/x\n" + hunk + "diff --git a/y b/z\nrename from y\nrename to z\n"},
			"Change x and 1 more file in 1 place, 2 lines added and 1 removed"},
		{object{"diff": "diff --git a/y b/z\nrename from y\nrename to z\n"},
			"Change a/y b/z in 1 place, 0 lines added and 0 removed"},
		{object{"diff": "--- a/kind\n+++ b/secret\n" + hunk},
			"Change secret in 1 place, 2 lines added and 1 removed"},
		{object{"path": "./x", "diff": "--- a/x\n+++ b/x\n" + hunk},
			"Change x in 1 place, 2 lines added and 1 removed"},
		{object{"path": "y", "diff": "--- a/x\n+++ b/x\n" + hunk},
			"Change y by a diff of x in 1 place, 2 lines added and 1 removed"},
		{object{"path": "y", "edits": []object{{"old_text": "a", "new_text": "b"}, {"old_text": "c\nd", "new_text": "c"}}},
			"Change y in 2 places, 1 line added and 2 removed"},
		{object{"fallback_command": "psql", "statement": "DELETE FROM a"}, "Run SQL that deletes rows in a"},
		{object{"fallback_command": "psql", "statement": "see below"}, "Run the command psql"},
		{object{"before": "a", "after": "b"}, "Change a text in 1 place, 1 line added and 1 removed"},
		{object{"note": "--- a\n+++ b\nno diff"}, "Run t: note --- a⟦U+000A⟧+++ b⟦U+000A⟧no diff"},
	} {
		if got := summaryOf(t, c.args); got != c.want {
			t.Errorf("%v:\n%s\nwant\n%s", c.args, got, c.want)
		}
	}
}

// A verb is said only where every database would read the statement so.
func TestSummaryOfSQL(t *testing.T) {
	const unsure = ""
	for sql, want := range map[string]string{
		"DELETE FROM sessions\nWHERE seen < now() - interval '30 days' OR 1 = 1;": "deletes rows in sessions",
		"UPDATE users SET name = 'O''Brien; DROP TABLE x' WHERE id = $1":          "updates rows in users",
		`update only "public"."users" set a = 1`:                                  `updates rows in "public"."users"`,
		"INSERT INTO `a b` (x) VALUES ('--', '/*')":                               "inserts rows in `a b`",
		"delete\n from [dbo].[t] where x = ''":                                    "deletes rows in [dbo].[t]",
		"DROP TABLE IF EXISTS t CASCADE":                                          "drops t",
		"ALTER TABLE t DROP COLUMN email":                                         "alters t",
		"ALTER TABLE t ADD a int, ALTER COLUMN b SET NOT NULL":                    "alters t",
		"CREATE TABLE t (a int REFERENCES b ON DELETE CASCADE)":                   "creates t",
		"GRANT SELECT, UPDATE ON t TO bo":                                         "grants rights on t",
		"DELETE FROM a; DROP TABLE b;":                                            "deletes rows in a, then drops b",
		"DELETE FROM a; SELECT 1":                                                 unsure,
		"DELETE FROM a DROP TABLE b":                                              unsure, // two statements in Transact-SQL
		"DELETE FROM a; DELETE FROM b; DELETE FROM c; DELETE FROM d":              unsure,
		"DELETE FROM a, b USING c":                                                unsure,
		"DROP TABLE a, b":                                                         unsure,
		"TRUNCATE a , b":                                                          unsure,
		"UPDATE IGNORE a SET x = 1":                                               unsure,
		"INSERT INTO a WITH d AS (DELETE FROM b RETURNING *) SELECT * FROM d":     unsure,
		`UPDATE a SET x = 'it\'s; DROP TABLE b'`:                                  unsure,
		"DELETE FROM a WHERE x = q'[a']' ; DROP TABLE b; ']'":                     unsure,
		"UPDATE a SET x = $$; DROP TABLE b; $$":                                   unsure,
		"UPDATE a SET x = 1 -- '\n; DROP TABLE b":                                 unsure,
		"UPDATE a SET x = 1 /*! , y = 2 */":                                       unsure,
		"UPDATE a SET x = 'open":                                                  unsure,
		"UPDATE a SET x = y # '\n, z = ''":                                        unsure,
		"DELETE FROM [x'] WHERE a = 1; DROP TABLE y":                              unsure,
		"DELETE FROM a\u200bb":                                                    unsure,
		"SELECT * FROM a":                                                         unsure,
		"WITH d AS (SELECT 1) DELETE FROM a":                                      unsure,
	} {
		got := summaryOf(t, map[string]string{"sql": sql})
		if want == unsure {
			want = ": " + Plain(briefText(sql))
		} else {
			want = " that " + want
		}
		if got != "Run SQL"+want {
			t.Errorf("%s:\n%s\nwant\nRun SQL%s", sql, got, want)
		}
	}
}

func TestEveryRowIsSaid(t *testing.T) {
	for sql, want := range map[string]bool{
		"DELETE FROM a":                                       true,
		"DELETE FROM a RETURNING 'where'":                     true,
		`UPDATE a SET "where" = 'x'`:                          true,
		"UPDATE a SET x = (SELECT y FROM b WHERE c = (1))":    true,
		"DELETE FROM a WHERE x = 'y'; DELETE FROM b":          true,
		"DELETE FROM a WHERE x = 'y'":                         false,
		"UPDATE a SET x = (SELECT 1) WHERE z IN (SELECT 'b')": false,
		"SELECT 1":          false,
		"DELETE FROM a -- ": false, // what a comment hides can't be told
	} {
		var note bool
		for _, line := range sqlLines(sql) {
			for _, s := range line.Spans {
				note = note || s.Kind == Note && s.Text == "no WHERE: every row"
			}
		}
		if note != want {
			t.Errorf("%s: %v, want %v", sql, note, want)
		}
	}
}
