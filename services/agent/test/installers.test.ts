/** What puts the agent on a machine: on Linux it is run, and of the others is looked at what can be without their systems. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'

const deploy = fileURLToPath(new URL('../../../../deploy/agent', import.meta.url))

function folderFor(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'installers-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

t.test('the unit is one that systemd understands', (t) => {
  const unit = join(deploy, 'fleetgate-agent.service')
  const text = readFileSync(unit, 'utf8')
  for (const line of ['KillMode=process', 'Restart=always', 'User=fleetgate']) t.ok(text.includes(`\n${line}\n`), line)
  if (hasProgram('systemd-analyze'))
    t.equal(execFileSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' }), '')
  t.end()
})

t.test('the installer says what it would do, and does it', (t) => {
  const base = folderFor(t)
  const bundle = join(base, 'bundle.mjs')
  writeFileSync(bundle, '// the agent\n')
  const script = join(deploy, 'install.sh')
  const run = (...args: string[]) => execFileSync('sh', [script, '--bundle', bundle, ...args], { encoding: 'utf8' })
  const destdir = join(base, 'image')
  const said = run(
    '--dry-run',
    '--destdir',
    destdir,
    '--url',
    'https://fleet',
    '--token',
    'SECRET',
    '--root',
    '/srv/a b'
  )
  t.match(said, /\+ mkdir -p .*srv\/a b/)
  t.notMatch(said, /SECRET/, 'the token is shown to nobody')
  t.notOk(existsSync(destdir), 'and nothing is done')
  for (const round of ['first', 'again']) {
    run('--destdir', destdir, '--user', 'tills', '--root', '/srv/a b')
    t.equal(readFileSync(join(destdir, 'usr/local/lib/fleetgate/fleetgate-agent.mjs'), 'utf8'), '// the agent\n', round)
    t.match(
      readFileSync(join(destdir, 'etc/systemd/system/fleetgate-agent.service'), 'utf8'),
      /\nUser=tills\nGroup=tills\n/
    )
    t.ok(statSync(join(destdir, 'srv/a b')).isDirectory())
  }
  for (const args of [
    ['--nonsense', 'x'],
    ['--url'],
    ['--root'],
    ['--user', '-x; rm'],
    ['--bundle', join(base, 'none')]
  ]) {
    t.throws(() => execFileSync('sh', [script, '--destdir', destdir, ...args], { stdio: 'pipe' }), args.join(' '))
  }
  if (hasProgram('shellcheck')) t.equal(execFileSync('shellcheck', [script], { encoding: 'utf8' }), '')
  t.end()
})

t.test('the daemon of macOS is one that launchd understands', (t) => {
  const folder = join(deploy, 'macos')
  t.match(readPlist(readFileSync(join(folder, 'com.fleetgate.agent.plist'), 'utf8')), {
    Label: 'com.fleetgate.agent',
    ProgramArguments: ['@NODE@', String, /fleetgate-agent\.mjs$/, 'run', '--config', '/etc/fleetgate/agent.json'],
    RunAtLoad: true,
    KeepAlive: true,
    AbandonProcessGroup: true,
    Umask: 0o022
  })
  const bundle = join(folderFor(t), 'bundle.mjs')
  writeFileSync(bundle, '// the agent\n')
  const run = (...args: string[]) =>
    execFileSync('sh', [join(folder, 'install.sh'), '--dry-run', '--bundle', bundle, ...args], {
      encoding: 'utf8',
      stdio: 'pipe'
    })
  const said = run('--root', '/srv/a b', '--url', 'https://fleet', '--role', 'SERVER', '--token-file', 'token')
  t.match(said, /\+ .* enrol .* --token-file token --url https:\/\/fleet --root \/srv\/a b --role SERVER\n/)
  t.equal(run('--url', 'https://fleet', '--token-file', 'token', '--', '--root', '/srv/a b', '--role', 'SERVER'), said)
  t.match(said, /\+ launchctl bootstrap system \/Library\/LaunchDaemons\/com\.fleetgate\.agent\.plist\n/)
  for (const args of [['--nonsense', 'x'], ['--url'], ['--user', '-x; rm'], ['--node', 'node'], ['--node', '/a|b']]) {
    t.throws(() => run(...args), args.join(' '))
  }
  if (hasProgram('shellcheck'))
    t.equal(execFileSync('shellcheck', [join(folder, 'install.sh')], { encoding: 'utf8' }), '')
  t.end()
})

type Plist = string | number | boolean | Plist[] | { [key: string]: Plist }

/** What a property list in XML holds; an element that is not closed, or not known, is an error. */
function readPlist(text: string): Plist {
  const tokens = [...text.replace(/<[?!][^>]*>/g, '').matchAll(/<(\/?)(\w+)[^>]*?(\/?)>|([^<]+)/g)]
    .map(([all, close = '', name = '', empty = '', words = '']) => ({ all, close, name, empty, words }))
    .filter(({ name, words }) => name !== '' || words.trim() !== '')
  let at = 0
  const next = () => tokens[at++] ?? { all: 'the end', close: '', name: '', empty: '', words: '' }
  const expect = (what: string) => {
    const { all } = next()
    if (all.replace(/ [^>]*/, '') !== what) throw new Error(`${all} in place of ${what}`)
  }
  const readText = (name: string) => {
    const { words } = next()
    expect(`</${name}>`)
    return words
  }
  function read(): Plist {
    const { all, name } = next()
    if (name === 'true' || name === 'false') return name === 'true'
    if (name === 'string') return readText(name)
    if (name === 'integer') return Number(readText(name))
    if (name !== 'dict' && name !== 'array') throw new Error(`unknown: ${all}`)
    const entries: [key: string, value: Plist][] = []
    while (tokens[at]?.all !== `</${name}>`) {
      if (name === 'dict') expect('<key>')
      entries.push([name === 'dict' ? readText('key') : '', read()])
    }
    at += 1
    return name === 'dict' ? Object.fromEntries(entries) : entries.map(([, value]) => value)
  }
  expect('<plist>')
  const value = read()
  expect('</plist>')
  return value
}

t.test('the installer for Windows keeps its promises, as far as its text tells', (t) => {
  const text = readFileSync(join(deploy, 'windows', 'install.ps1'), 'utf8')
  t.match(text, /^[\n -~]*$/, 'plain ASCII: Windows PowerShell takes anything else for the code page of the machine')
  const settings = ['-AtStartup', 'RepetitionInterval', 'IgnoreNew', '-ExecutionTimeLimit ([TimeSpan]::Zero)']
  const security = ['#Requires -RunAsAdministrator', 'SupportsShouldProcess', 'SetAccessRuleProtection($true, $false)']
  for (const words of [...settings, ...security]) t.ok(text.includes(words), words)
  const bare = text.replace(/<#[\s\S]*?#>/g, '').replace(/^\s*#.*$/gm, '')
  const code = bare.replace(/`"/g, '').replace(/"[^"\n]*"|'[^'\n]*'/g, "''")
  const open: string[] = []
  for (const [bracket] of code.matchAll(/[()[\]{}]/g)) {
    if ('([{'.includes(bracket)) open.push(bracket)
    else t.equal(`${open.pop()}${bracket}`.match(/^(\(\)|\[\]|\{\})$/) !== null, true, `closes by ${bracket}`)
  }
  t.strictSame(open, [], 'every bracket is closed')
  const [, list = ''] = /\nparam\(([\s\S]*?)\n\)\n/.exec(text) ?? []
  const parameters = [...list.matchAll(/\] \$(\w+)/g)].map(([, name]) => name)
  for (const [, name] of text.matchAll(/^\.PARAMETER (\w+)$/gm))
    t.ok(parameters.includes(name), `${name} is a parameter`)
  for (const option of ['Url', 'TokenFile', 'ClientId', 'Role', 'Root', 'Program', 'Ca', 'Bundle', 'Node', 'Account'])
    t.ok(parameters.includes(option), option)
  t.end()
})

function hasProgram(name: string): boolean {
  return (process.env.PATH ?? '').split(':').some((folder) => existsSync(join(folder, name)))
}
