package e2e_test

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"kelian/internal/app"
)

// scrape reads the operators' figures: the sum over the labels of each name.
func (w *world) scrape() map[string]float64 {
	w.t.Helper()
	res, err := http.Get("http://" + w.config.AdminListen + "/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	return figures(w.t, res.Body)
}

func figures(t testing.TB, body io.Reader) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for in := bufio.NewScanner(body); in.Scan(); {
		name, value, ok := strings.Cut(in.Text(), " ")
		if base, labels, _ := strings.Cut(name, "{"); ok && strings.HasPrefix(base, "kelian_") {
			if i := strings.LastIndex(labels, "} "); i >= 0 {
				value = labels[i+2:]
			}
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatalf("%q: %v", in.Text(), err)
			}
			out[base] += n
		}
	}
	return out
}

var metricName = regexp.MustCompile("`(kelian_[a-z_]+)")

func TestMetricsShowTheWatchOverTheNetworkAndStandInTheGuide(t *testing.T) {
	w := open(t, shape{})
	eventually(t, "an epoch is judged", func() bool { return w.scrape()["kelian_monitor_epochs_judged_total"] > 0 })
	calm := w.scrape()
	if calm["kelian_incidents_open"] != 0 || calm["kelian_monitor_probes_total"] == 0 || calm["kelian_monitor_rounds_total"] == 0 ||
		calm["kelian_monitor_leads"] != 1 || calm["kelian_monitor_mode"] != 1 || calm["kelian_monitor_judge_lag_seconds"] <= 0 {
		t.Errorf("before the outage: %v", calm)
	}
	w.network.Cut(app.DemoSwitch2()...)
	eventually(t, "the incident counts", func() bool { return w.scrape()["kelian_incidents_open"] == 1 })
	if n := w.scrape()["kelian_monitor_probes_lost_total"]; n < 7 {
		t.Errorf("%v checks were lost, a switch and its six hosts are away", n)
	}

	w.as("").page("/status")
	guide, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	documented, shown := map[string]bool{}, w.scrape()
	for _, m := range metricName.FindAllStringSubmatch(string(guide), -1) {
		documented[m[1]] = true
		if _, ok := shown[m[1]]; !ok && m[1] != "kelian_http_refused_total" && m[1] != "kelian_http_request_seconds" { // nothing was refused; it has parts
			t.Errorf("the guide names %s, which is not shown", m[1])
		}
	}
	for name := range shown {
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, part)
		}
		if !documented[name] {
			t.Errorf("the guide lacks %s", name)
		}
	}
}
