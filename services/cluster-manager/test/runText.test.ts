import { spawn, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { temporaryFolder, until } from '@fleetgate/testkit'
import t from 'tap'
import { programOf, valuesText } from '../src/hosts/runText.js'
import { loadProfiles } from '../src/profiles/profile.js'

const dir = temporaryFolder(t)
const folder = new URL('../../profiles/', import.meta.url)
const profiles = loadProfiles(folder.pathname, {})

/** What a shell makes of it that reads it from its standard input. */
function read(text: string, ...args: string[]) {
  const { stdout, status } = spawnSync('sh', ['-s', '--', ...args], { input: text, cwd: dir, encoding: 'utf8' })
  return { stdout, status }
}

await t.test('a script is a function and finds those that it reads; the first that fails ends the run', (t) => {
  const program = programOf([
    { name: 'lib.sh', content: readFileSync(new URL('common/lib.sh', folder), 'utf8') },
    { name: 'run.sh', content: 'eval "$common"\nrunScripts "$@"\n' },
    { name: 'work.sh', content: "echo 'of the work'\n" },
    { name: 'places.sh', content: "place='it is here'\n" },
    { name: 'first.sh', content: '. "$here/places.sh"\nprintf "%s|" "$place"\nexit 0\n' },
    { name: 'fails.sh', content: 'exit 7\n' }
  ])
  t.same(read(program, 'first.sh', 'first.sh'), { stdout: 'it is here|it is here|', status: 0 })
  t.same(read(program, 'first.sh', 'fails.sh', 'first.sh'), { stdout: 'it is here|', status: 7 })
  t.end()
})

await t.test('the program of each profile can be read, and is the same whatever the values are', (t) => {
  for (const name of profiles.names) {
    const { program = '' } = profiles.get(name) ?? {}
    const scripts = ['install', 'verify', 'status', 'drain', 'remove', 'registries', 'keys', 'preflight', 'figures']
    const [common = ''] = program.split('\nwork=')
    const { stdout, status } = read(
      `${common}\neval "$common" && type ${scripts.map((one) => `script_${one}`).join(' ')}`
    )
    t.equal(status, 0, `${name}: each is a function`)
    t.equal(stdout.match(/is a (shell )?function/g)?.length, scripts.length)
  }
  t.end()
})

await t.test('a request that came in half does nothing', (t) => {
  const { program = '' } = profiles.get('nats') ?? {}
  const started = `mark='> '\n${program}`
  const whole = '2 direct o c 1 0 figures.sh\nrole=master\nnow=1\n'
  for (const half of [whole.slice(0, 12), whole.slice(0, -1), whole.slice(0, -6)]) {
    const { stdout } = spawnSync(
      'sh',
      ['-c', '(printf %s "$1"; sleep 1; printf %s "$2") | sh -s -- /root', 'sh', started, half],
      {
        cwd: dir,
        encoding: 'utf8'
      }
    )
    t.equal(stdout, '> ready\n', half)
  }
  t.same(readdirSync(dir), [])
  t.end()
})

await t.test(
  'is ready only when all of the program is read: what comes then is a request and no more of it',
  async (t) => {
    for (const name of profiles.names) {
      const { program = '' } = profiles.get(name) ?? {}
      const shell = spawn('sh', ['-s', '--', '/root'], { cwd: dir })
      t.teardown(() => shell.kill())
      let said = ''
      shell.stdout.on('data', (data) => {
        said += data
      })
      const hears = (word: string) =>
        until(() => said.includes(word), { what: `${word} from the shell`, deadlineMs: 20_000 })
      // A shell reads what is there, which may end in the middle of a line.
      shell.stdin.write(`echo begun\nmark='> '\n${program.slice(0, -3)}`)
      await hears('begun')
      await sleep(500)
      t.notMatch(said, 'ready', name)
      shell.stdin.write(program.slice(-3))
      await hears('> ready')
      shell.stdin.write('1 direct o c 1 0 figures.sh\nrole=master\n')
      await hears('> 0')
      t.match(said, 'figure cpu')
    }
  }
)

await t.test('a value with a character that no shell keeps is refused, by its key', (t) => {
  t.throws(() => valuesText({ keys: 'ssh-rsa A\0B' }), { kind: 'refused', message: /the value of keys/ })
  t.end()
})
