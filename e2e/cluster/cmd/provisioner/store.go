package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// store keeps the volumes' backing storage:
//
//	DIR/NAME.img   backing file, exactly the requested size rounded up to 4096 bytes
//	DIR/NAME/      mount point of a Filesystem volume
//
// Every operation may be repeated: what is there is taken over, what is gone is not missed.
// The loops file holds one line per attached device: NAME DEVICE MAJOR:MINOR INODE,
// the last two being those of the backing file, as losetup shows them.
type store struct {
	dir, loops string
	attaching  sync.Mutex // losetup -f by two workers would race, and so would edits of the loops file
}

const granule = 4096

func run(name string, arg ...string) (string, error) {
	out, err := exec.Command(name, arg...).CombinedOutput()
	text := strings.Join(strings.Fields(string(out)), " ")
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, text)
	}
	return text, nil
}

func (s *store) image(name string) string { return filepath.Join(s.dir, name+".img") }

// file makes the backing file, filled with the given byte or sparse.
func (s *store) file(name string, size int64, fill byte, sparse bool) (string, error) {
	if size <= 0 {
		return "", errors.New("the requested size is not positive")
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &fs); err != nil {
		return "", err
	}
	if free := int64(fs.Bavail) * fs.Bsize; size > free-granule {
		return "", fmt.Errorf("not enough space: %d bytes requested, %d available", size, free)
	}
	size = (size + granule - 1) / granule * granule
	path := s.image(name)
	if dev, err := s.attached(name); err != nil || dev != "" {
		return path, err // complete: it is attached only then
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if sparse {
		return path, f.Truncate(size)
	}
	chunk := bytes.Repeat([]byte{fill}, 1<<20)
	for left := size; left > 0; {
		n := min(left, int64(len(chunk)))
		if _, err := f.Write(chunk[:n]); err != nil {
			return "", err
		}
		left -= n
	}
	return path, f.Close()
}

func (s *store) block(name string, size int64) (string, error) {
	path, err := s.file(name, size, 0xA5, false)
	if err != nil {
		return "", err
	}
	return s.attach(name, path)
}

func (s *store) filesystem(name string, size int64) (string, error) {
	dir := filepath.Join(s.dir, name)
	if mounted(dir) {
		return dir, nil
	}
	img, err := s.file(name, size, 0, true)
	if err != nil {
		return "", err
	}
	if _, err := run("mkfs.ext4", "-q", "-F", "-m", "0", img); err != nil {
		return "", fmt.Errorf("%d bytes cannot hold an ext4 filesystem: %w", size, err)
	}
	dev, err := s.attach(name, img)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	_, err = run("mount", "-t", "ext4", dev, dir)
	return dir, err
}

func mounted(dir string) bool {
	var a, b syscall.Stat_t
	return syscall.Stat(dir, &a) == nil && syscall.Stat(filepath.Dir(dir), &b) == nil && a.Dev != b.Dev
}

// attached gives the loop device that has the volume's backing file, or "".
func (s *store) attached(name string) (string, error) {
	if _, err := os.Stat(s.image(name)); err != nil {
		return "", nil
	}
	return run("losetup", "-n", "-O", "NAME", "-j", s.image(name))
}

func (s *store) attach(name, img string) (string, error) {
	s.attaching.Lock()
	defer s.attaching.Unlock()
	dev, err := s.attached(name)
	for try := 0; err == nil && dev == "" && try < 5; try++ { // another cluster may take the free device first
		var e error
		if dev, e = run("losetup", "-f", "--show", img); e != nil && try == 4 {
			err = e
		}
	}
	if err != nil {
		return "", err
	}
	file, err := identity(img)
	if err != nil {
		return "", err
	}
	return dev, s.note(name, name+" "+dev+" "+file)
}

// identity gives "MAJOR:MINOR INODE" of a file.
func identity(path string) (string, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d:%d %d", st.Dev>>8&0xfff, st.Dev&0xff|st.Dev>>12&0xfff00, st.Ino), nil
}

// note replaces the volume's line of the loops file; "" removes it.
func (s *store) note(name, line string) error {
	old, err := os.ReadFile(s.loops)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	var keep []string
	for _, l := range strings.Split(string(old), "\n") {
		if l != "" && !strings.HasPrefix(l, name+" ") {
			keep = append(keep, l)
		}
	}
	if line != "" {
		keep = append(keep, line)
	}
	if err := os.WriteFile(s.loops+".new", []byte(strings.Join(append(keep, ""), "\n")), 0o600); err != nil {
		return err
	}
	return os.Rename(s.loops+".new", s.loops)
}

// remove fails while anything uses the volume: a mount, or the second loop device that kubelet
// keeps on a Block volume until it has unmapped it.
func (s *store) remove(name string) error {
	dir := filepath.Join(s.dir, name)
	if mounted(dir) {
		if _, err := run("umount", dir); err != nil {
			return err
		}
	}
	if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
		return err
	}
	s.attaching.Lock()
	defer s.attaching.Unlock()
	dev, err := s.attached(name)
	if err != nil {
		return err
	}
	if dev != "" {
		// `losetup -d` of a device in use succeeds and detaches it later: ask first
		node, err := identity(dev)
		if err != nil {
			return err
		}
		out, err := run("losetup", "-l", "-n", "-O", "NAME,BACK-MAJ:MIN,BACK-INO")
		if err != nil {
			return err
		}
		if strings.Contains(" "+out+" ", " "+node+" ") {
			return fmt.Errorf("%s is still in use by another loop device", dev)
		}
		if _, err := run("losetup", "-d", dev); err != nil {
			return err
		}
		if dev, err = s.attached(name); err != nil || dev != "" {
			return fmt.Errorf("%s is still attached (%v)", dev, err)
		}
	}
	if err := s.note(name, ""); err != nil {
		return err
	}
	if err := os.Remove(s.image(name)); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
