import t from 'tap'
import { rewriteDeb822, rewriteList } from '../src/libc/aptSources.js'
import { isAtLeast, versionIn } from '../src/libc/glibc.js'
import { cacheFolder } from '../src/libc/newerLibc.js'
import { releaseOf } from '../src/libc/release.js'

const change = { from: 'bookworm', to: 'trixie' }

t.test('compares versions by number, not by letter', async (t) => {
  t.notOk(isAtLeast('2.36', '2.38'))
  t.ok(isAtLeast('2.38', '2.38'))
  t.ok(isAtLeast('2.41', '2.38'))
  t.notOk(isAtLeast('2.9', '2.38'))
  t.ok(isAtLeast('3.0', '2.38'))
  t.notOk(isAtLeast('2', '2.38'))
})

t.test('finds the version in what the loader and a package say', async (t) => {
  t.equal(versionIn('ld.so (Debian GLIBC 2.41-12+deb13u4) stable release version 2.41.'), '2.41')
  t.equal(versionIn('2.39-0ubuntu8.4'), '2.39')
  t.equal(versionIn('none'), undefined)
})

t.test('knows which release follows', async (t) => {
  t.same(releaseOf('ID=debian\nVERSION_CODENAME=bookworm\n'), { suite: 'bookworm', next: 'trixie' })
  t.same(releaseOf('VERSION_CODENAME="virginia"\nUBUNTU_CODENAME=jammy\n'), { suite: 'jammy', next: 'noble' })
  t.same(releaseOf('VERSION_CODENAME=sid\n'), { suite: 'sid', next: undefined })
  t.equal(releaseOf('ID=alpine\n'), undefined)
})

t.test('rewrites one-line sources: base suite and main only, mirror and options kept', async (t) => {
  const text = `
# deb http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/a.gpg] http://mirror.example/debian bookworm main contrib # ours
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian bookworm-updates main
deb	mirror+file:/etc/apt/mirrors.list	bookworm	non-free main
deb http://tool.example/linux bookworm stable
`
  t.equal(
    rewriteList(text, change),
    'deb [arch=amd64 signed-by=/usr/share/keyrings/a.gpg] http://mirror.example/debian trixie main\n' +
      'deb	mirror+file:/etc/apt/mirrors.list trixie main\n'
  )
})

t.test('rewrites deb822 sources: unknown fields and written-out keys kept', async (t) => {
  const text = `# ours
Types: deb deb-src
URIs: http://mirror.example/debian
  http://second.example/debian
Suites: bookworm bookworm-updates
Components: main non-free
# a remark
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main
 
Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://tool.example/linux
Suites: bookworm
Components: stable
`
  t.equal(
    rewriteDeb822(text, change),
    `Types: deb
URIs: http://mirror.example/debian
  http://second.example/debian
Suites: trixie
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
`
  )
})

t.test('keeps two sources of the same suite apart', async (t) => {
  const stanza = (host: string) => `Types: deb\nURIs: http://${host}/debian\nSuites: bookworm\nComponents: main\n`
  const both = rewriteDeb822(`${stanza('a.example')}\n${stanza('b.example')}`, change)
  t.equal(both.split('\n\n').length, 2)
  t.equal(both.match(/Suites: trixie/g)?.length, 2)
})

t.test('caches where the environment says', async (t) => {
  t.equal(cacheFolder({ FLEETGATE_CACHE: '/a', XDG_CACHE_HOME: '/b' }), '/a')
  t.equal(cacheFolder({ XDG_CACHE_HOME: '/b' }), '/b/fleetgate')
  t.match(cacheFolder({}), /\/\.cache\/fleetgate$/)
})
