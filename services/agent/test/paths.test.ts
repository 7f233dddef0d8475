import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createPaths, type Paths } from '../src/paths.js'
import { resolveProgram } from '../src/programs.js'
import { createContents } from '../src/transfer/contents.js'
import type { Uploads } from '../src/transfer/upload.js'

async function setUp(t: Test): Promise<{ base: string; root: string; other: string; paths: Paths }> {
  const base = mkdtempSync(join(tmpdir(), 'paths-'))
  t.teardown(() => rmSync(base, { recursive: true, force: true }))
  const [root, other] = [join(base, 'root'), join(base, 'other')]
  for (const folder of ['root/in', 'other', 'outside', 'root-beside'])
    mkdirSync(join(base, folder), { recursive: true })
  writeFileSync(join(base, 'outside/secret'), 'secret')
  writeFileSync(join(root, 'in/file'), 'good')
  return { base, root, other, paths: await createPaths([root, other]) }
}

async function pathOf(paths: Paths, path: string, create = false): Promise<string> {
  const place = await paths.open(path, { create })
  await place.stat()
  await place.close()
  return place.path
}

t.test('finds what lies below a root', async (t) => {
  const { root, other, paths } = await setUp(t)
  t.equal(await pathOf(paths, 'in/file'), join(root, 'in/file'), 'relative paths are below the first root')
  t.equal(await pathOf(paths, `${root}/in//./file`), join(root, 'in/file'))
  t.equal(await pathOf(paths, `${other}/new`), join(other, 'new'), 'other roots by absolute path')
  t.equal(await pathOf(paths, root), root, 'the root itself')
  t.equal(await pathOf(paths, 'ünïcode ☃ name'), join(root, 'ünïcode ☃ name'))
  t.equal(await pathOf(paths, '...'), join(root, '...'), 'three dots are a name like any other')
})

t.test('a list of files is bounded in bytes, whatever the script of their names', async (t) => {
  const { root, paths } = await setUp(t)
  const uploads = { upload: async () => undefined } as unknown as Uploads
  const contents = createContents({ paths: { ...paths, open: () => paths.open('in/file') }, uploads })
  const { signal } = new AbortController()
  const list = (count: number) =>
    contents.bringIn({ base: root, files: Array(count).fill('门'.repeat(150)) }, { signal })
  t.equal((await list(2)).length, 2)
  // 0.3 MB as characters, 0.6 MB as bytes.
  await t.rejects(list(1200), { message: /too many files for one step/ })
})

t.test('makes missing folders only when told to', async (t) => {
  const { root, paths } = await setUp(t)
  await t.rejects(pathOf(paths, 'a/b/c'), { message: `folder ${root}/a does not exist`, isMissing: true })
  t.equal(await pathOf(paths, 'a/b/c', true), join(root, 'a/b/c'))
  t.ok(existsSync(join(root, 'a/b')))
  t.notOk(existsSync(join(root, 'a/b/c')), 'not the last part')
})

t.test('refuses every way out of the roots', async (t) => {
  const { base, root, paths } = await setUp(t)
  symlinkSync(join(base, 'outside'), join(root, 'link-out'))
  symlinkSync('../../outside', join(root, 'in/relative-link-out'))
  symlinkSync(join(base, 'outside/secret'), join(root, 'file-link-out'))
  symlinkSync(join(base, 'nowhere'), join(root, 'dangling'))
  symlinkSync('loop-b', join(root, 'loop-a'))
  symlinkSync('loop-a', join(root, 'loop-b'))
  const escapes = [
    '..',
    '../outside/secret',
    'in/../../outside/secret',
    'in/..',
    `${root}/../outside/secret`,
    '/etc/passwd',
    '/',
    `${base}/outside/secret`,
    `${base}/root-beside/x`,
    base,
    'link-out/secret',
    'link-out/new',
    'in/relative-link-out/secret',
    'file-link-out',
    'dangling',
    'loop-a',
    'loop-a/x',
    `${root}/link-out/secret`,
    '/proc/self/cwd/x',
    '/dev/null'
  ]
  for (const path of escapes) {
    for (const create of [false, true]) {
      await t.rejects(pathOf(paths, path, create), { name: 'PathError' }, `${path} ${create ? 'to write' : 'to read'}`)
    }
  }
  t.equal(readFileSync(join(base, 'outside/secret'), 'utf8'), 'secret')
  t.notOk(existsSync(join(base, 'outside/new')))
})

t.test('refuses names that mean something else here', async (t) => {
  const { root, paths } = await setUp(t)
  for (const path of ['c:\\Users\\x.txt', 'C:/Users/x.txt', 'c:x', '\\\\host\\share', 'in\\file']) {
    await t.rejects(pathOf(paths, path, true), { message: `${path} is a Windows path, but this machine runs linux` })
  }
  for (const path of ['', 'a\0b', 'a\nb', 'x'.repeat(5000), `in/${'x'.repeat(300)}`, 'in/file/below']) {
    await t.rejects(pathOf(paths, path, true), { name: 'PathError' }, JSON.stringify(path.slice(0, 20)))
  }
  t.strictSame(execFileSync('ls', [root], { encoding: 'utf8' }), 'in\n', 'nothing was made')
})

t.test('follows links that stay inside', async (t) => {
  const { root, other, paths } = await setUp(t)
  symlinkSync('in', join(root, 'current'))
  symlinkSync(other, join(root, 'in/elsewhere'))
  symlinkSync('in/file', join(root, 'alias'))
  t.equal(await pathOf(paths, 'current/file'), join(root, 'in/file'))
  t.equal(await pathOf(paths, 'current/elsewhere/new'), join(other, 'new'), 'from one root into another')
  t.equal(await pathOf(paths, 'alias'), join(root, 'in/file'))
})

t.test('a folder that becomes a link after the check leads nowhere', async (t) => {
  const { base, root, paths } = await setUp(t)
  const place = await paths.open('in/new')
  t.teardown(() => place.close())
  execFileSync('mv', [join(root, 'in'), join(root, 'moved')])
  symlinkSync(join(base, 'outside'), join(root, 'in'))
  writeFileSync(place.at(place.name), 'mine')
  t.equal(readFileSync(join(root, 'moved/new'), 'utf8'), 'mine', 'the opened folder is meant, wherever it is now')
  t.notOk(existsSync(join(base, 'outside/new')))
})

t.test('reads regular files only', async (t) => {
  const { root, paths } = await setUp(t)
  execFileSync('mkfifo', [join(root, 'fifo')])
  for (const [path, message] of [
    ['fifo', /not a regular file/],
    ['in', /not a regular file/],
    ['none', /does not exist/]
  ] as const) {
    const place = await paths.open(path)
    t.teardown(() => place.close())
    await t.rejects(paths.openFile(place), { name: 'PathError', message }, path)
  }
})

t.test('runs only programs of the list, judged by their true paths', async (t) => {
  const { base, root, paths } = await setUp(t)
  mkdirSync(join(root, 'bin'))
  for (const path of ['root/bin/good', 'root/bad', 'root/bin-beside'])
    writeFileSync(join(base, path), '', { mode: 0o755 })
  symlinkSync('/bin/sh', join(root, 'bin/sh'))
  symlinkSync('../bad', join(root, 'bin/alias'))
  const allowed = [join(root, 'bin'), '/bin/true']
  t.equal(await resolveProgram('bin/good', allowed, paths), join(root, 'bin/good'), 'by a folder of the list')
  t.ok(await resolveProgram('/bin/true', allowed, paths), 'by its own name, outside of the roots')
  for (const path of [
    'bad',
    'bin-beside',
    'bin/sh',
    'bin/alias',
    '/bin/sh',
    'bin/../bad',
    'bin',
    'bin/none',
    '',
    'c:\\x.exe'
  ]) {
    await t.rejects(resolveProgram(path, allowed, paths), { name: 'PathError' }, path)
  }
  await t.rejects(
    resolveProgram('bin/good', [], paths),
    { message: /PROGRAMS is empty/ },
    'an empty list allows nothing'
  )
})
