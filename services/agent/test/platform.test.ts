/** What differs between systems. The rules for Windows are pure and asked here; its files are not to be had on the test's system. */
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '@fleetgate/testkit'
import t, { type Test } from 'tap'
import { holderOf, lockFolder } from '../src/lock.js'
import { createPaths, type Paths } from '../src/paths.js'
import { openFolder } from '../src/platform/folders.js'
import { factsFromPs, isRunning, markOf } from '../src/platform/processes.js'
import { isWithinOnWindows, oddWindowsPath, oddWindowsRoot } from '../src/platform/windowsPaths.js'

t.test('Windows paths that a step may use', (t) => {
  const good = [
    'C:\\store\\in\\a.txt',
    'c:/store/in/a.txt',
    'C:\\store/mixed\\slashes/a.txt',
    'in\\a.txt',
    'in/a.txt',
    '.\\in\\a.txt',
    'in\\\\a.txt',
    'in\\',
    'in\\*.txt',
    'in\\day-?.log',
    'C:\\',
    'console.txt',
    'com.txt',
    'com10',
    'nul-values.csv',
    'a.b.c',
    '.hidden',
    'a~b.txt',
    'backup~1999-long-name.txt',
    'ünïcode ☃ name.txt'
  ]
  for (const path of good) t.equal(oddWindowsPath(path), undefined, path)
  t.end()
})

t.test('Windows paths that mean something else than they look like', (t) => {
  const bad: [path: string, reason: RegExp][] = [
    ['\\\\host\\share\\a.txt', /network or device/],
    ['//host/share/a.txt', /network or device/],
    ['/\\host\\share', /network or device/],
    ['\\\\?\\C:\\store\\a.txt', /network or device/],
    ['\\\\.\\PhysicalDrive0', /network or device/],
    ['\\??\\C:\\store', /without a drive/],
    ['C:a.txt', /without a folder/],
    ['c:', /without a folder/],
    ['\\store\\a.txt', /without a drive/],
    ['/store/a.txt', /without a drive/],
    ['..', /'\.\.'/],
    ['in\\..\\..\\secret', /'\.\.'/],
    ['in/../secret', /'\.\.'/],
    ['C:\\store\\..\\secret', /'\.\.'/],
    ['a.txt:hidden', /alternate data stream/],
    ['a.txt::$DATA', /alternate data stream/],
    ['in:x\\a.txt', /alternate data stream/],
    ['in\\C:\\a.txt', /alternate data stream/],
    ['CON', /device/],
    ['nul', /device/],
    ['in\\NUL.txt', /device/],
    ['in\\nul.tar.gz', /device/],
    ['in\\nul .txt', /device/],
    ['aux\\a.txt', /device/],
    ['COM1', /device/],
    ['com¹.log', /device/],
    ['LPT9.txt', /device/],
    ['CONIN$', /device/],
    ['in.\\a.txt', /dot or blank/],
    ['a.txt.', /dot or blank/],
    ['a.txt ', /dot or blank/],
    ['in\\...\\a.txt', /dot or blank/],
    ['PROGRA~1\\a.txt', /8\.3/],
    ['in\\LONGNA~12.TXT', /8\.3/],
    ['a<b.txt', /characters/],
    ['a|b', /characters/],
    ['a"b', /characters/]
  ]
  for (const [path, reason] of bad) t.match(oddWindowsPath(path), reason, path)
  t.end()
})

t.test('roots on Windows', (t) => {
  for (const root of ['C:\\store\\in', 'd:/store', 'C:\\']) t.equal(oddWindowsRoot(root), undefined, root)
  for (const root of [
    '\\\\server\\share',
    'store\\in',
    '\\store',
    'C:store',
    'C:\\PROGRA~1',
    'C:\\store.',
    'C:\\a\\..\\b'
  ]) {
    t.type(oddWindowsRoot(root), 'string', root)
  }
  const within: [root: string, path: string, isWithin: boolean][] = [
    ['C:\\store', 'C:\\store', true],
    ['C:\\store', 'c:\\STORE\\In\\a.txt', true],
    ['C:\\store\\', 'C:/store/in', true],
    ['C:\\store', 'C:\\store\\..\\secret', false],
    ['C:\\store', 'C:\\store-beside\\a.txt', false],
    ['C:\\store', 'D:\\store\\a.txt', false],
    ['C:\\store\\in', 'C:\\store', false],
    ['C:\\', 'C:\\anything', true],
    ['C:\\', 'D:\\anything', false],
    ['C:\\lädle', 'C:\\LÄDLE\\a', true],
    ['C:\\straße', 'C:\\STRASSE\\a', false]
  ]
  for (const [root, path, isWithin] of within) t.equal(isWithinOnWindows(root, path), isWithin, `${path} in ${root}`)
  t.end()
})

for (const isExact of [true, false]) {
  const how = isExact ? 'from folder to folder' : 'by true paths, as where there is no /proc'
  t.test(`nothing leads out of a root, ${how}`, async (t) => {
    const base = mkdtempSync(join(tmpdir(), 'escape-'))
    t.teardown(() => rmSync(base, { recursive: true, force: true }))
    const root = join(base, 'root')
    mkdirSync(join(root, 'in'), { recursive: true })
    mkdirSync(join(base, 'outside'))
    writeFileSync(join(base, 'outside/secret'), 'secret')
    writeFileSync(join(root, 'in/file'), 'good')
    symlinkSync(join(base, 'outside'), join(root, 'out'))
    symlinkSync('../../outside/secret', join(root, 'in/out'))
    symlinkSync('/dev/zero', join(root, 'zero'))
    symlinkSync('in', join(root, 'alias'))
    execFileSync('mkfifo', [join(root, 'fifo')])
    const server = createServer().listen(join(root, 'socket'))
    t.teardown(() => server.close())
    await until(() => server.listening, { what: 'the socket' })
    const paths = await createPaths([root], isExact)
    const read = async (path: string) => {
      const place = await paths.open(path)
      try {
        const file = await paths.openFile(place)
        return await file.readFile('utf8').finally(() => file.close())
      } finally {
        await place.close()
      }
    }
    t.equal(await read('in/file'), 'good')
    t.equal(await read('alias/file'), 'good', 'a link within the roots is followed')
    const escapes = ['..', '../outside/secret', 'in/../../outside/secret', `${base}/outside/secret`, '/etc/passwd']
    const links = ['out/secret', 'in/out', 'zero', `${root}/out/secret`]
    const devices = ['/dev/zero', '/dev/null', '/proc/self/environ', 'fifo', 'socket', 'in']
    const windows = ['C:\\Windows\\a', 'c:a', '\\\\host\\share', '\\\\?\\C:\\a', 'in\\file', '\\\\.\\pipe\\x']
    for (const path of [...escapes, ...links, ...devices, ...windows]) {
      await t.rejects(read(path), { name: 'PathError' }, path)
    }
    await swapped(t, { base, root, paths, isExact })
  })
}

/** A folder is swapped for a link between the walk and the work. */
async function swapped(
  t: Test,
  { base, root, paths, isExact }: { base: string; root: string; paths: Paths; isExact: boolean }
): Promise<void> {
  writeFileSync(join(root, 'in/secret'), 'mine')
  const place = await paths.open('in/secret')
  t.teardown(() => place.close())
  execFileSync('mv', [join(root, 'in'), join(root, 'moved')])
  symlinkSync(join(base, 'outside'), join(root, 'in'))
  if (isExact) {
    const file = await paths.openFile(place)
    t.equal(await file.readFile('utf8'), 'mine', 'the opened folder is meant')
    await file.close()
  } else await t.rejects(paths.openFile(place), { code: 'ELOOP' }, 'seen, since the true path is another')
  await t.rejects(openFolder(join(root, 'in'), join(root, 'in'), isExact), 'a link is no folder')
}

t.test('a process is known by more than its number', async (t) => {
  const child = spawn('sleep', ['60'])
  t.teardown(() => child.kill())
  const mark = await markOf(child.pid as number)
  t.ok(await isRunning(mark))
  t.notOk(await isRunning({ ...mark, startedAt: 'another time' }), 'its number was given to another')
  t.notOk(await isRunning({ ...mark, boot: 'another boot' }))
  const facts = await factsFromPs(child.pid as number)
  t.match(facts, { state: /^[SRD]/, startedAt: /^\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4}$/ }, 'by ps too, as on macOS')
  child.kill('SIGKILL')
  await until(async () => !(await isRunning(mark)), { what: 'its end' })
  t.equal(await factsFromPs(2 ** 22 + 1), undefined, 'a number that nobody has')
})

t.test('of many that want the state folder of a dead agent one gets it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'platform-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const dead = { ...(await markOf(process.pid)), startedAt: 'another time' }
  for (let round = 1; round <= 20; round += 1) {
    const [last = 'agent.lock'] = readdirSync(folder)
    // Also half a lock, and none, left by power loss.
    writeFileSync(join(folder, last), ['', '{"pid":', JSON.stringify(dead)][round % 3] ?? '')
    const tries = await Promise.allSettled(Array.from({ length: 8 }, (_, turns) => lockAfter(folder, turns)))
    const [won, ...more] = tries.filter((one) => one.status === 'fulfilled')
    t.equal(more.length, 0, `round ${round}: not two`)
    await t.rejects(lockFolder(folder), /is in use by the agent/)
    t.match(await holderOf(folder), { pid: process.pid })
    await won?.value()
    t.equal(await holderOf(folder), undefined)
    t.equal(readdirSync(folder).length, 1, 'one name is left, whose number nobody takes again')
  }
})

/** One comes while another is on its way. */
async function lockAfter(folder: string, turns: number): Promise<() => Promise<void>> {
  for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  return lockFolder(folder)
}
