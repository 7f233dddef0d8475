/** The scripts of k8s/components/backup. Others stand in for the programs of MongoDB and NATS: they tell what they are told. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { workspaceRoot } from '@fleetgate/local'
import { temporaryFolder } from '@fleetgate/testkit'
import t, { type Test } from 'tap'

const scripts = join(workspaceRoot, 'k8s/components/backup')
const login = 'backup:a-word-of-the-test'
const dumping = [
  'for word in "$@"; do case $word in',
  '  --config=*) cat "$(echo "$word" | cut -d = -f 2-)" ;;',
  '  --archive=*) echo dumped >"$(echo "$word" | cut -d = -f 2-)" ;;',
  'esac; done'
].join('\n')
const saving = 'for last in "$@"; do :; done; mkdir -p "$last" && echo saved >"$last/stream.tar.s2"'
const address = `mongodb://${login}@m-0.svc:27017,m-1.svc:27017/admin?replicaSet=mongodb&ssl=false`

function place(t: Test) {
  const dir = temporaryFolder(t)
  const [bin, folder, log] = [join(dir, 'bin'), join(dir, 'backup'), join(dir, 'log')] as const
  for (const made of [bin, folder]) mkdirSync(made)
  const env = { PATH: `${bin}:${process.env.PATH}`, TMPDIR: dir, BACKUP_DIR: folder, MONGODB_URI: address }
  return {
    folder,
    backups: () => readdirSync(folder).sort(),
    /** Command lines of the programs so far. */
    told: () => readFileSync(log, 'utf8').replaceAll(dir, '').trim().split('\n'),
    program(name: string, lines: string): void {
      writeFileSync(join(bin, name), `#!/bin/sh\necho "${name} $*" >>${log}\n${lines}\n`)
      chmodSync(join(bin, name), 0o755)
    },
    run(script: string, more: NodeJS.ProcessEnv = {}) {
      const { status, stdout } = spawnSync('sh', [join(scripts, script)], {
        env: { ...env, ...more },
        encoding: 'utf8'
      })
      return { status, stdout }
    }
  }
}

t.test('all databases are dumped as of one moment, whichever the address names', async (t) => {
  const { program, run, told, backups } = place(t)
  program('mongodump', dumping)
  const addresses = [
    [address, `mongodb://${login}@m-0.svc:27017,m-1.svc:27017/?authSource=admin&replicaSet=mongodb&ssl=false`],
    [`mongodb+srv://${login}@m.svc/?tls=true`, `mongodb+srv://${login}@m.svc/?authSource=admin&tls=true`],
    [`mongodb://${login}@m.svc/admin`, `mongodb://${login}@m.svc/?authSource=admin`],
    [`mongodb://${login}@m.svc`, `mongodb://${login}@m.svc/?authSource=admin`]
  ]
  for (const [given, wanted] of addresses) {
    t.same(run('documents.sh', { MONGODB_URI: given }), { status: 0, stdout: `uri: "${wanted}"\n` })
  }
  const line = 'mongodump --config=/mongodump.yaml --oplog --gzip --archive=/backup/unfinished/documents.gz'
  t.same(told(), [line, line, line, line], 'and the password is on no command line')
  t.same(backups(), ['unfinished'])
})

t.test('a backup has a name when it is whole, and the newest are kept', async (t) => {
  const { program, run, told, backups, folder } = place(t)
  program('mongodump', dumping)
  program('nats', saving)
  const older = ['2026-01-01T021700Z', '2026-01-02T021700Z', '2026-01-03T021700Z']
  for (const name of older) mkdirSync(join(folder, name))
  mkdirSync(join(folder, 'lost+found'))
  t.equal(run('documents.sh').status, 0)
  t.equal(run('streams.sh', { KEEP: '2' }).status, 0)
  const [, oldest, newest = '', other] = ['', ...backups()]
  t.same([oldest, other], ['2026-01-03T021700Z', 'lost+found'], 'nothing else is touched')
  t.match(newest, /^\d{4}-\d\d-\d\dT\d{6}Z$/)
  const streams = ['COMMANDS', 'EVENTS', 'OBJ_files', 'UPLINK', 'UPLOADS']
  t.same(readdirSync(join(folder, newest)).sort(), [...streams, 'documents.gz'].sort())
  const lines = told().filter((line) => line.startsWith('nats'))
  t.same(
    lines.sort(),
    streams.map((name) => `nats stream backup --no-progress ${name} /backup/unfinished/${name}`)
  )
})

t.test('one that fails is no backup, pushes none out, and is begun anew', async (t) => {
  const { program, run, backups, folder } = place(t)
  program('mongodump', dumping)
  program('nats', `[ "$4" = UPLINK ] && exit 1\n${saving}`)
  mkdirSync(join(folder, '2026-01-01T021700Z'))
  t.equal(run('documents.sh').status, 0)
  t.not(run('streams.sh', { KEEP: '1' }).status, 0)
  t.same(backups(), ['2026-01-01T021700Z', 'unfinished'])
  program('mongodump', 'exit 1')
  t.not(run('documents.sh').status, 0)
  t.same(readdirSync(join(folder, 'unfinished')), [], 'what the last one left does not get into the next')
})
