package main

// famfs hosts and famfs reclaim: who may map files of a device that gives memory out again, who holds
// memory of removed files back, and giving it out.

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"famfs"
)

// slotJSON is a process that may have files mapped.
type slotJSON struct {
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Program string    `json:"program"`
	Since   time.Time `json:"since"`
	Behind  int       `json:"behind"`
	Writes  bool      `json:"writes"`
	Holds   int64     `json:"holds"`
}

// hostJSON is a host that was admitted.
type hostJSON struct {
	UUID      string     `json:"uuid"`
	State     string     `json:"state"`
	Master    bool       `json:"master"`
	Processes []slotJSON `json:"processes"`
}

func describeSlots(slots []famfs.Slot) []slotJSON {
	all := []slotJSON{}
	for _, s := range slots {
		all = append(all, slotJSON{s.Host.String(), s.PID, s.Program, s.Since, s.Behind, s.Writes, s.Holds})
	}
	return all
}

// errNoHosts: the file system gives no memory out again.
var errNoHosts = fmt.Errorf("it does not give memory of removed files out again, and waits for no host: it was made without --reuse: %w", errors.ErrUnsupported)

func (a *app) hostsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "hosts DEVICE",
		Short: "Show, admit and evict the hosts that a device waits for",
		Long: `hosts shows which hosts may map files of a device that was made with mkfs --reuse, and
which of their processes may still reach memory of removed files: who, since when, how
many entries of the log it is behind, and how many bytes it alone would hold back. A
process that died counts until something else on its host maps a file.`,
		Example: `  famfs hosts /dev/dax0.0
  famfs hosts admit /dev/dax0.0 5f0c2a6e-8f0d-4b54-9d0c-0123456789ab
  famfs hosts --json /dev/dax0.0 | jq '.[].processes[] | select(.holds > 0)'`,
		Args: a.arguments(1, 1, "one DEVICE"),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.onWholeDevice(args[0], a.open, func(fsys *famfs.FS, device string) error {
				hosts := fsys.Hosts()
				if hosts == nil {
					return errNoHosts
				}
				all := []hostJSON{}
				rows := [][]string{{"Host", "State", "PID", "Program", "Since", "Behind", "Writes", "Holds"}}
				for _, h := range hosts {
					one := hostJSON{h.UUID.String(), h.State.String(), h.UUID == fsys.Superblock().SystemUUID, describeSlots(h.Slots)}
					all = append(all, one)
					state := one.State
					if one.Master {
						state += ", master"
					}
					if len(one.Processes) == 0 {
						rows = append(rows, []string{one.UUID, state, "-", "-", "-", "-", "-", "-"})
					}
					for _, s := range one.Processes {
						rows = append(rows, append([]string{one.UUID, state}, slotRow(s)...))
					}
				}
				if asJSON {
					return printJSONList(a, all)
				}
				return columns(a.out, rows, 2, 5, 7)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as a JSON array")
	var surely bool
	admit := &cobra.Command{
		Use:   "admit DEVICE UUID...",
		Short: "Let hosts map files",
		Long: `admit lets hosts map files of a device that was made with mkfs --reuse: from then on the
master waits for them before it gives memory of a removed file out again. It needs the
master, whose own host is admitted from the start. Which UUID a host has it says itself
when it maps a file in vain. Up to 250 hosts can be admitted in the life of a file system.`,
		Args: a.arguments(2, -1, "DEVICE UUID..."),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.eachHost(args, "admitted", (*famfs.FS).Admit)
		},
	}
	evict := &cobra.Command{
		Use:   "evict --surely-off DEVICE UUID...",
		Short: "Wait for hosts no longer, which are surely off",
		Long: `evict has the master wait for hosts no longer: what their processes hold back is given out
again at once. Say it only of a host that is surely off, or cut off from the memory. If
a process there runs all the same, it can read what is another file's by now, and
overwrite it, until it notices. Then all its mappings are gone, and it must be started
again once its host is admitted again. It needs the master, whose own host stays.`,
		Args: a.arguments(2, -1, "DEVICE UUID..."),
		RunE: func(_ *cobra.Command, args []string) error {
			if !surely {
				return usageError(errors.New("a host that is evicted and not off can overwrite other files: give --surely-off too"))
			}
			return a.eachHost(args, "evicted", (*famfs.FS).Evict)
		},
	}
	evict.Flags().BoolVar(&surely, "surely-off", false, "the hosts are off, or cannot reach the memory any more")
	cmd.AddCommand(admit, evict)
	for _, c := range cmd.Commands() {
		c.ValidArgsFunction = a.completeTarget
	}
	return cmd
}

func slotRow(s slotJSON) []string {
	writes := "no"
	if s.Writes {
		writes = "yes"
	}
	return []string{fmt.Sprint(s.PID), printable(s.Program), s.Since.Format(time.DateTime), grouped(s.Behind), writes, human(s.Holds)}
}

// onWholeDevice calls do for a device that open opens.
func (a *app) onWholeDevice(arg string, open func(string) (*famfs.FS, error), do func(fsys *famfs.FS, device string) error) error {
	return a.eachOn([]string{arg}, open, func(fsys *famfs.FS, t target) error {
		if t.name != "." {
			return errWholeDevice
		}
		return do(fsys, t.device)
	}, nil)
}

// eachHost does something to the hosts whose UUIDs follow a device.
func (a *app) eachHost(args []string, done string, do func(*famfs.FS, famfs.UUID) error) error {
	var hosts []famfs.UUID
	for _, s := range args[1:] {
		host, err := famfs.ParseUUID(s)
		if err != nil {
			return usageError(err)
		}
		hosts = append(hosts, host)
	}
	return a.onWholeDevice(args[0], a.openToWrite, func(fsys *famfs.FS, device string) error {
		for _, host := range hosts {
			if err := do(fsys, host); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(a.out, "%s: %s %v\n", a.displayName(device), done, host); err != nil {
				return err
			}
		}
		return nil
	})
}

// reclaimedJSON is what reclaim has done.
type reclaimedJSON struct {
	Device  string     `json:"device"`
	Freed   int64      `json:"freed"`
	Held    int64      `json:"held"`
	Holders []slotJSON `json:"holders"`
}

func (a *app) reclaimCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "reclaim DEVICE",
		Short: "Give memory of removed files out again, and show who holds it back",
		Long: `reclaim gives out again what nobody can reach any more of the memory of removed files, on
a device that was made with mkfs --reuse. Making files does the same when there is no
space, and removing them too: reclaim is to see who holds back what. It needs the
master. A process lets go when it has followed the log and closed what it has mapped.`,
		Example: `  famfs reclaim /dev/dax0.0`,
		Args:    a.arguments(1, 1, "one DEVICE"),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.onWholeDevice(args[0], a.openToWrite, func(fsys *famfs.FS, device string) error {
				r, err := fsys.Reclaim()
				if errors.Is(err, errors.ErrUnsupported) {
					return errNoHosts
				}
				if err != nil {
					return err
				}
				holders := describeSlots(r.Holders)
				if asJSON {
					return a.printJSON(reclaimedJSON{device, r.Freed, r.Held, holders})
				}
				if _, err := fmt.Fprintf(a.out, "%s: %s given out again, %s held back; %s free\n", a.displayName(device), human(r.Freed), human(r.Held), human(fsys.Usage().Free)); err != nil || len(holders) == 0 {
					return err
				}
				rows := [][]string{{"Host", "PID", "Program", "Since", "Behind", "Writes", "Holds"}}
				for _, s := range holders {
					rows = append(rows, append([]string{s.Host}, slotRow(s)...))
				}
				return columns(a.out, rows, 1, 4, 6)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON, with sizes in bytes")
	return cmd
}
