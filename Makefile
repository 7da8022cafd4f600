# `make help` lists the targets; what takes more than a few lines is in scripts/.

# The interpreter to build for: lua5.1 .. lua5.4, luajit, .build/lua5.5, or a path.
LUA ?= lua5.4
# lua51 .. lua55 or luajit: the cargo feature, and the name of a build's own folders.
FLAVOR ?= $(shell $(LUA) scripts/flavor.lua 2>/dev/null)
# Not empty: OpenSSL is built from source, and linked into the module.
VENDORED ?=
comma = ,
SPEC ?= $(shell find spec -name '*_spec.lua' | sort)

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib/lua/$(shell $(LUA) -e 'io.write(_VERSION:match("%d%.%d"))')
LIB_EXTENSION ?= so

# LuaRocks names its compiler and flags on the command line. Nothing here is compiled with them, but
# cargo would see them change, and build OpenSSL's bindings anew at each turn between LuaRocks and
# make.
unexport CC CFLAGS

# release, or dev: built faster, and slower itself; for specs while one works.
PROFILE ?= release
LIBRARY = target/$(FLAVOR)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/libtcp.$(if $(filter Darwin,$(shell uname)),dylib,so)

.PHONY: build module install deps demo quick test modules spec lint check bench bench-calls bench-json bench-profile bench-loops bench-many bench-tls docs types types-check deb dist rocks reliability soak soak-loops faults hostile oom fuzz valgrind asan supply clean help simulate simulate-loops mutations instructions faces bench-faces corpora tlsfuzzer limbo

build: module ## build for $(LUA) (default lua5.4; `make LUA=luajit`) and leave tcp.so here
	install -m 755 .build/$(FLAVOR)/tcp.so tcp.$(LIB_EXTENSION)

module: $(filter .build/lua5.5,$(LUA)) ## build for $(LUA), as .build/$(FLAVOR)/tcp.so alone
	@LUA='$(LUA)' VENDORED='$(VENDORED)' scripts/deps --check build lua
	cargo build --profile $(PROFILE) --locked --features $(FLAVOR)$(if $(VENDORED),$(comma)vendored) --target-dir target/$(FLAVOR)
	@mkdir -p .build/$(FLAVOR)
	install -m 755 $(LIBRARY) .build/$(FLAVOR)/tcp.so

modules: ## the same for every Lua from 5.1 to 5.5 and LuaJIT
	@MAKE='$(MAKE)' scripts/modules lua5.1 lua5.2 lua5.3 lua5.4 luajit .build/lua5.5

install: ## copy what `make` built to $(DESTDIR)$(LIBDIR); LuaRocks calls it
	mkdir -p '$(DESTDIR)$(LIBDIR)'
	install -m 755 $(LIBRARY) '$(DESTDIR)$(LIBDIR)/tcp.$(LIB_EXTENSION)'

deps: ## install what `make check` needs: apt-get on Debian and Ubuntu, elsewhere it says what
	@LUA='$(LUA)' scripts/deps build lua rocks demo test docs lint

demo: ## build, install into .build/tree-$(FLAVOR), run the four examples against local servers
	@MAKE='$(MAKE)' scripts/demo '$(LUA)'

quick: ## within a minute: rules, rustfmt, cargo's tests, and the specs on $(LUA), by samples, with PROFILE=dev
	@{ scripts/rules && cargo fmt --check; } & checks=$$!; \
	cargo test --quiet --workspace --locked --target-dir target/$(FLAVOR) && wait $$checks
	@TCP_SPEC_QUICK=1 '$(MAKE)' --no-print-directory spec PROFILE=dev

test: ## everything on every Lua: cargo's tests, then the specs on 5.1 .. 5.5 and LuaJIT
	@MAKE='$(MAKE)' scripts/test

spec: module ## the specs on $(LUA) alone; SPEC=spec/x_spec.lua runs one file, FILTER='a name' some tests
	@TCP_SPEC_FILTER='$(FILTER)' scripts/spec '$(LUA)' $(FLAVOR) $(SPEC)

lint: ## rustfmt, clippy, rustdoc, luacheck, and the rules of scripts/rules
	@scripts/lint

check: lint test ## lint and test

bench: ## all beside LuaSocket, LuaSec and lua-cjson, cqueues, luv and C; BENCH='--quick', BENCH='--chart'
	@scripts/deps bench
	@for lua in lua5.4 luajit; do '$(MAKE)' --no-print-directory module LUA=$$lua || exit; done
	@bench/run.py $(BENCH)

bench-calls: module ## what each method costs by each shape of call; OLD=folder-with-tcp.so beside another build
	@scripts/deps bench
	@bench/calls/compare.py '$(LUA)' .build/$(FLAVOR) $(if $(OLD),--old '$(OLD)') $(BENCH)

bench-json: module ## decode and encode beside lua-cjson, and beside lua-simdjson and lua-rapidjson where LUA_CPATH has them
	@mkdir -p .build/bench/$(FLAVOR)
	@cc -O2 -shared -fPIC -o .build/bench/$(FLAVOR)/least.so bench/native/least.c -lssl -lcrypto
	@LUA_CPATH=".build/$(FLAVOR)/?.so;.build/bench/$(FLAVOR)/?.so;$${LUA_CPATH:-;}" '$(LUA)' bench/json/compare.lua \
	  41 .build/bench/json.$(FLAVOR)
	@LUA_CPATH=".build/$(FLAVOR)/?.so;$${LUA_CPATH:-;}" '$(LUA)' bench/json/get.lua

bench-profile: module ## who copies bytes while JSON packets are read and written, by valgrind
	@bench/json/profile '$(LUA)' $(FLAVOR)

bench-loops: module ## ten thousand connections in a loop, beside cqueues' and luv's own sockets
	@bench/loops/compare.py '$(LUA)' .build/$(FLAVOR) $(BENCH)

bench-many: module ## ten thousand TCP checks and two thousand TLS checks at once, beside cqueues and luv
	@scripts/deps bench
	@bench/many/compare.py '$(LUA)' .build/$(FLAVOR) $(BENCH)

bench-faces: module ## tcp.luasocket beside LuaSocket: redis, 1 MB, http; CPU ratios, paired in one run
	@LUA_CPATH='.build/$(FLAVOR)/?.so;;' '$(LUA)' bench/faces/compare.lua

bench-tls: module ## handshakes against LuaSec: ratios, paired in one run
	@LUA_CPATH='.build/$(FLAVOR)/?.so;;' '$(LUA)' bench/tls/compare.lua

docs: ## render README.md and docs/ to .build/docs/index.html
	@scripts/deps docs
	@docs/html/build .build/docs

types: ## make types/tcp/safe.lua from types/tcp.lua, after a change of that
	@$(LUA) scripts/types.lua > .types && mv .types types/tcp/safe.lua

types-check: ## emmylua_check over the examples and recipes; by hand
	@scripts/types_check

deb: ## Debian packages, one for each Lua from 5.1 to 5.4, in .build/deb
	@scripts/deps build deb
	@packaging/build-deb .build/deb

dist: ## a tarball with all crates, which builds without a network, and the source rock, in .build/dist
	@scripts/dist .build/dist

rocks: ## a binary rock for each Lua, installed once and loaded, in .build/rocks; GLIBC=2.34: fail if one wants a newer one
	@MAKE='$(MAKE)' GLIBC='$(GLIBC)' scripts/rocks .build/rocks lua5.1 lua5.2 lua5.3 lua5.4 luajit .build/lua5.5

reliability: ## the short form, some minutes, of all the targets below; CI runs it
	@MAKE='$(MAKE)' scripts/reliability

soak: module ## a million packets, 100,000 connects ... on $(LUA): memory and descriptors stay; PARTS=10 for a tenth
	@scripts/soak '$(LUA)' $(FLAVOR) $(PARTS)

soak-loops: module ## connections of all kinds in coroutines of cqueues and luv, for SECONDS=60 in each: the same
	@scripts/soak '$(LUA)' $(FLAVOR) loops $(or $(SECONDS),60)

simulate: ## crates/net over a kernel that a seed decides: SEEDS=200000 of them, from FIRST=1 on; SEED=7 step by step
	@scripts/simulate $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),200000) --first $(or $(FIRST),1))

simulate-loops: module ## the same of loops and tasks on $(LUA), over the module: SEEDS=5000, FIRST=1, SEED=7
	@LUA_PATH='./?.lua' LUA_CPATH='.build/$(FLAVOR)/?.so' '$(LUA)' tests/simulate/loops.lua $(or $(SEEDS),5000) $(or $(FIRST),1) $(SEED)

mutations: ## the source broken in each way of tests/simulate/mutations: the simulator must find it; SEEDS=10000, ONLY=words of a title
	@tests/simulate/mutate.py $(or $(SEEDS),10000) '$(ONLY)'

instructions: ## instructions of some paths, by callgrind, beside those of tests/instructions/counts; WRITE=1 writes them
	@scripts/deps build reliability
	@for lua in lua5.4 luajit; do '$(MAKE)' --no-print-directory module LUA=$$lua || exit; done
	@status=0; for lua in lua5.4 luajit; do tests/instructions/run $$lua $(if $(WRITE),write) || status=1; done; exit $$status

faults: module ## system calls fail, descriptors run out, processes fork, the clock jumps ..., on $(LUA)
	@tests/faults/run '$(LUA)'

faces: module ## the suites of LuaSocket's and LuaSec's clients in the folder CLIENTS=, on those and on tcp.luasocket; SUITE=redis-lua runs one
	@tests/faces/run.py '$(LUA)' .build/$(FLAVOR) '$(or $(CLIENTS),.build/clients)' $(SUITE)

corpora: module ## the documents of JSON corpora in the folder CORPORA=, on $(LUA), beside Python's decoder; ONLY=orjson runs one
	@tests/corpora/run.py '$(LUA)' .build/$(FLAVOR) '$(or $(CORPORA),.build/corpora)' $(ONLY)

hostile: module ## 1,000 servers that misbehave at random, and floods, on $(LUA); COUNT=, SEED=
	@tests/hostile/run '$(LUA)' $(or $(COUNT),1000) $(or $(SEED),1)

tlsfuzzer: module ## tlsfuzzer's scripts, from its clone SCRIPTS=, against a listener and s_server; PYTHON=, NUMBER=, SECONDS=, ONLY=conversation
	@PYTHON='$(PYTHON)' NUMBER='$(NUMBER)' SECONDS='$(SECONDS)' tests/tlsfuzzer/run.py '$(LUA)' .build/$(FLAVOR) '$(or $(SCRIPTS),.build/tlsfuzzer-scripts)' $(ONLY)

limbo: module ## the chains of x509-limbo's LIMBO=limbo.json, verified on $(LUA) and by `openssl verify`
	@tests/limbo/run.py '$(LUA)' .build/$(FLAVOR) '$(or $(LIMBO),.build/limbo.json)' $(ONLY)

oom: module ## each allocation fails in turn, Lua's, Rust's and OpenSSL's, on $(LUA)
	@tests/oom/run '$(LUA)'

fuzz: ## the fuzz targets, SECONDS=60 each
	@scripts/fuzz $(or $(SECONDS),60)

valgrind: module ## all specs on $(LUA) under valgrind, about twenty minutes
	@scripts/valgrind '$(LUA)' $(FLAVOR) $(SPEC)

asan: ## all specs on $(LUA) with the address sanitizer
	@scripts/asan '$(LUA)' $(FLAVOR) $(SPEC)

supply: ## licences, duplicates, sources and Rust versions of what the module is built of
	@scripts/supply

.build/lua5.5: $(wildcard scripts/lua55/*)
	scripts/lua55/build $@

clean: ## remove all that was built
	rm -rf target .build tcp.so tcp.dll

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1 - /p' Makefile
