package temporal

import (
	"net"
	"strconv"
	"time"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
)

const (
	clusterName = "active"
	storeName   = "sqlite"
	disabled    = "disabled"

	tasksAtOnce = 16
)

// sqlConfig names the one database that holds everything. run sets this start's connections apart.
func sqlConfig(file, run string) *config.SQL {
	return &config.SQL{
		PluginName:   sqliteplugin.PluginName,
		DatabaseName: escapePath(file),
		ConnectAttributes: map[string]string{
			// The file is made before the server starts. If it is gone, failing beats an empty one.
			"mode": "rw",
			// What follows becomes a PRAGMA on every new connection. WAL with FULL flushes the log at every
			// commit: what Temporal acknowledged survives a crash of process or machine.
			"journal_mode": "WAL",
			"synchronous":  "FULL",
			"busy_timeout": "10000", // ms; a reader from outside (sqlite3, a backup) may hold a lock
			// The plugin keeps connections per DSN until the process ends. A DSN of its own keeps a start
			// from getting a connection to a file that was deleted and made anew. The plugin reads "setup"
			// only to compare it with "true", SQLite ignores it.
			"setup": run,
		},
		// Temporal's transactions read before they write and begin deferred, so with two connections
		// SQLite refuses the write of the one that comes late (SQLITE_BUSY_SNAPSHOT), whatever the busy
		// timeout: four connections did a third of the work of one.
		MaxConns:     1,
		MaxIdleConns: 1,
		// After a stop nothing else closes the connection.
		MaxConnLifetime: 5 * time.Minute,
	}
}

// listenerPort is the port of a TCP listener.
func listenerPort(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// dialable is the address at which this machine reaches a listener. Go makes every wildcard
// listener answer IPv4 too.
func dialable(l net.Listener) string {
	addr := l.Addr().(*net.TCPAddr)
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = loopback
	}
	return net.JoinHostPort(host, strconv.Itoa(addr.Port))
}

// serverConfig is the static configuration of a server with one host per service.
func serverConfig(
	sql *config.SQL, shards int, listeners map[primitives.ServiceName]net.Listener,
) *config.Config {
	frontend := dialable(listeners[primitives.FrontendService])
	cfg := &config.Config{
		Persistence: config.Persistence{
			DefaultStore:     storeName,
			VisibilityStore:  storeName,
			NumHistoryShards: int32(shards),
			DataStores:       map[string]config.DataStore{storeName: {SQL: sql}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{clusterName: {
				Enabled:                true,
				InitialFailoverVersion: 1,
				RPCAddress:             frontend,
			}},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: disabled},
			Visibility: config.VisibilityArchival{State: disabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: disabled},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: disabled},
		}},
		PublicClient: config.PublicClient{HostPort: frontend},
		Services:     map[string]config.Service{},
	}
	for name, l := range listeners {
		// HTTPPort stays 0: Temporal's HTTP API would be one more open port, and nothing here uses it.
		cfg.Services[string(name)] = config.Service{RPC: config.RPC{GRPCPort: listenerPort(l), BindOnIP: loopback}}
	}
	return cfg
}

// staticHosts tells the services where each other are. Without it they gossip over ports of their
// own.
func staticHosts(listeners map[primitives.ServiceName]net.Listener) map[primitives.ServiceName]static.Hosts {
	hosts := make(map[primitives.ServiceName]static.Hosts, len(listeners))
	for name, l := range listeners {
		hosts[name] = static.SingleLocalHost(dialable(l))
	}
	return hosts
}

// dynamicConfig holds the settings in which a developer's machine differs from a production
// cluster.
func dynamicConfig() dynamicconfig.StaticClient {
	return dynamicconfig.StaticClient{
		// Nothing leaves the machine. The default depends on the environment.
		dynamicconfig.EnableServerVersionCheck.Key(): false,
		// A search attribute added to a running server ("pawl setup") is usable at once instead of after
		// a cache refresh. It costs a read per call that names search attributes.
		dynamicconfig.ForceSearchAttributesCacheRefreshOnRead.Key(): true,
		// The default of 10 a second is soon used up by an open UI page and a polling test.
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key(): 100,
		// The default of 128,000 cached workflows is sized for a server with a machine to itself. One
		// takes about 100 KiB; one that is not cached is read from the local file when something happens
		// to it.
		dynamicconfig.HistoryCacheHostLevelMaxSize.Key(): 1000,
		// A shard looks for new transfer tasks, which hand workflow tasks to workers, at most so many
		// times a second. With the default of 20 a hop soon after another one in the same shard waits for
		// 50 ms: a workflow with one activity took 10 ms or 100 ms, with this 8 to 14 ms. Looking is a
		// short read of a local file and follows only a write.
		dynamicconfig.TransferProcessorMaxPollRPS.Key(): 1000,
		// A workflow that somebody deletes goes when the shard has noted that its end was dealt with, which
		// it does every 30 s by default. Noting it is one small write.
		dynamicconfig.TransferProcessorUpdateAckInterval.Key():   time.Second,
		dynamicconfig.VisibilityProcessorUpdateAckInterval.Key(): time.Second,
		// After a fourth lost attempt at one workflow task, for instance because the worker was killed each
		// time, Temporal waits longer for each further one, by default up to ten minutes more. A developer
		// who restarts the stack often would then watch an approved call do nothing.
		dynamicconfig.WorkflowTaskRetryMaxInterval.Key(): 10 * time.Second,
		// Tasks that are done at once. The default of 512 is for databases with many connections; here all
		// wait for one. When thousands of deadlines passed at once, on a busy machine, each took so long
		// that it was given up and begun again, and none was ever done.
		dynamicconfig.TimerProcessorSchedulerWorkerCount.Key():      tasksAtOnce,
		dynamicconfig.TransferProcessorSchedulerWorkerCount.Key():   tasksAtOnce,
		dynamicconfig.VisibilityProcessorSchedulerWorkerCount.Key(): tasksAtOnce,
		// Four partitions, the default, spread a busy task queue over hosts. There is one host, and with
		// few workers tasks and polls that land in different partitions have to be forwarded.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,
	}
}
