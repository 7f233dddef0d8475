/** What differs between systems. The rules for Windows are asked here, and what it refuses is refused in its place. */
import { execFileSync, spawn } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { rename } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, win32 } from 'node:path'
import { until } from '@fleetgate/testkit'
import t, { type Test } from 'tap'
import { addressOf } from '../src/hello.js'
import { holderOf, lockFolder } from '../src/lock.js'
import { createPaths, type Paths, partsBelow, strip } from '../src/paths.js'
import { passedEnvironment } from '../src/platform/environment.js'
import { openFolder } from '../src/platform/folders.js'
import { beginLife, take } from '../src/platform/life.js'
import { factsFromPs, isRunning, markOf } from '../src/platform/processes.js'
import { replaceFile } from '../src/platform/replaceFile.js'
import { usualPaths } from '../src/platform/usualPaths.js'
import { isWithinOnWindows, oddWindowsPath, oddWindowsRoot } from '../src/platform/windowsPaths.js'
import { windowsCall } from '../src/platform/windowsPrograms.js'
import { patternOf } from '../src/tree.js'

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

t.test('a whole drive can be a root on Windows', (t) => {
  t.strictSame(partsBelow('D:\\', 'D:\\in\\a.txt', win32), ['in', 'a.txt'])
  t.strictSame(partsBelow('D:\\store', 'D:\\STORE\\a.txt', win32), ['a.txt'])
  t.strictSame(partsBelow('D:\\', 'D:\\', win32), [])
  t.strictSame(partsBelow('/', '/in/a.txt'), ['in', 'a.txt'])
  for (const path of ['D:\\', 'D:\\in']) t.equal(strip(path, win32), path, 'a drive keeps its separator')
  t.equal(strip('D:\\in\\', win32), 'D:\\in')
  t.equal(strip('/'), '/')
  t.end()
})

t.test('capitals do not matter to patterns on Windows', (t) => {
  t.ok(patternOf('*.TXT', true).test('Größe.txt'))
  t.notOk(patternOf('*.TXT', false).test('Größe.txt'))
  t.end()
})

t.test('how a program is started on Windows', (t) => {
  const args = ['a b', '50%', '"']
  t.strictSame(windowsCall('C:\\bin\\till.exe', args), { program: 'C:\\bin\\till.exe', args }, 'as it is')
  t.match(windowsCall('C:\\bin\\till.PS1', args, 'D:\\Windows'), {
    program: 'D:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe',
    args: [/^-NoProfile$/, /^-NonInteractive$/, String, String, '-File', 'C:\\bin\\till.PS1', ...args]
  })
  t.strictSame(windowsCall('C:\\my bin\\till.bat', ['a b', '', 'C:\\in\\', '(x) ;,=']), {
    program: 'C:\\Windows\\System32\\cmd.exe',
    args: ['/d', '/e:on', '/v:off', '/s', '/c', '""C:\\my bin\\till.bat" "a b" "" "C:\\in\\\\" "(x) ;,=""'],
    isVerbatim: true
  })
  for (const arg of ['%PATH%', '"', 'a&b', 'a|b', 'a>b', '<a', 'a^b', 'a!b', 'a\nb', 'a\0']) {
    t.throws(() => windowsCall('C:\\bin\\till.cmd', [arg]), /batch file cannot be given/, JSON.stringify(arg))
  }
  t.throws(() => windowsCall('C:\\bin\\100%.cmd', []), /batch file cannot be given/, 'nor can its own path hold such')
  for (const path of ['till.txt', 'till', 'till.exe.txt', 'till.vbs']) {
    t.throws(() => windowsCall(path, []), { message: `${path} is no program: .exe, .com, .bat, .cmd, .ps1 are` })
  }
  t.end()
})

t.test('what a program sees of the environment', (t) => {
  const env = { Path: 'p', SystemRoot: 'r', 'ProgramFiles(x86)': 'x', HOME: 'h', MQTT_PASSWORD: 's', NODE_OPTIONS: 'n' }
  t.strictSame(passedEnvironment(env, 'win32'), { Path: 'p', SystemRoot: 'r', 'ProgramFiles(x86)': 'x' })
  t.strictSame(passedEnvironment({ ...env, PATH: 'P' }, 'linux'), { HOME: 'h', PATH: 'P' })
  t.strictSame(passedEnvironment({ PATH: 'P', TMPDIR: 't', MQTT_PASSWORD: 's' }, 'darwin'), { PATH: 'P', TMPDIR: 't' })
  t.end()
})

t.test('where things are unless told otherwise', (t) => {
  for (const platform of ['linux', 'darwin']) {
    const expected = { config: '/etc/fleetgate/agent.json', state: '/var/lib/fleetgate' }
    t.strictSame(usualPaths(platform, { PROGRAMDATA: 'C:\\x' }), expected)
  }
  t.strictSame(usualPaths('win32', { PROGRAMDATA: 'D:\\Data' }), {
    config: 'D:\\Data\\Fleetgate\\agent.json',
    state: 'D:\\Data\\Fleetgate\\state'
  })
  t.equal(usualPaths('win32', {}).config, 'C:\\ProgramData\\Fleetgate\\agent.json')
  t.end()
})

t.test('the address that people know a machine by', (t) => {
  const at = (address: string) =>
    ({ address, family: address.includes(':') ? 'IPv6' : 'IPv4', internal: false }) as const
  const own = { ...at('127.0.0.1'), internal: true }
  const all = [own, at('fe80::1'), at('169.254.3.4'), at('2001:db8::1'), at('10.1.2.3')]
  t.equal(addressOf({ lo: all.slice(0, 1), en0: all.slice(1), none: undefined }), '10.1.2.3')
  t.equal(addressOf({ en0: all.slice(0, 4) }), '2001:db8::1')
  t.equal(addressOf({ en0: all.slice(0, 3) }), '169.254.3.4')
  t.equal(addressOf({ lo: [own] }), '127.0.0.1')
  t.end()
})

const refusal = (code: string) => Object.assign(new Error(code), { code })

t.test('a file that somebody has open on Windows is replaced when he lets go of it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'platform-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const [from, to] = [join(folder, 'from'), join(folder, 'to')]
  writeFileSync(from, 'new')
  writeFileSync(to, 'old', { mode: 0o444 })
  const refusals = ['EPERM', 'EBUSY', 'EACCES']
  const move = async (a: string, b: string) => {
    const code = refusals.shift()
    if (code) throw refusal(code)
    t.ok(statSync(b).mode & 0o200, 'a file that is read-only is not any more')
    await rename(a, b)
  }
  await replaceFile(from, to, { withinMs: 60_000, everyMs: 1, rename: move })
  t.equal(readFileSync(to, 'utf8'), 'new')
  let tries = 0
  const never = async () => {
    tries += 1
    throw refusal('EPERM')
  }
  await t.rejects(replaceFile(to, from, { withinMs: 300, everyMs: 1, rename: never }), {
    code: 'EPERM',
    message: /another program has it open/
  })
  t.ok(tries > 1, 'with patience')
  tries = 0
  await t.rejects(replaceFile(to, from, { rename: never }), { code: 'EPERM' })
  t.equal(tries, 1, 'where renaming is never refused for that there is none')
  await t.rejects(
    replaceFile(join(folder, 'none'), to, { withinMs: 60_000 }),
    { code: 'ENOENT' },
    'nor for other reasons'
  )
})

t.test('on Windows a process is known by a file that it has for itself alone', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'platform-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const held = join(folder, 'life')
  const refusals = ['EBUSY', 'EBUSY']
  const open = () => {
    const code = refusals.shift()
    if (code) throw refusal(code)
    return 7
  }
  t.equal(await take(held, open), 7, 'somebody only looked')
  const busy = () => {
    throw refusal('EBUSY')
  }
  t.equal(await take(held, busy), undefined, 'another one has it')
  const full = () => {
    throw refusal('ENOSPC')
  }
  await t.rejects(take(held, full), { code: 'ENOSPC' })
  const life = await beginLife(held, true)
  if (!life) throw new Error('nobody else has the file')
  const { mark } = life
  t.match(mark, { pid: process.pid, held })
  const isTaken = async () => busy()
  t.ok(await isRunning({ ...mark, boot: 'of no matter' }, true, isTaken))
  t.notOk(await isRunning({ ...mark, held: undefined }, true, isTaken), 'a number alone is not enough')
  t.notOk(await isRunning({ ...mark, pid: 2 ** 22 + 1 }, true, isTaken))
  life.end()
  t.notOk(await isRunning(mark, true), 'its number was given to another: the file can be opened')
  rmSync(held)
  t.notOk(await isRunning(mark, true), 'or is gone')
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
