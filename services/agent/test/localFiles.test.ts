/** COPY_FILE, DELETE_FILE and WAIT_FLAG_FILE on a real file system. */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { dirname, join } from 'node:path'
import type { Step } from '@fleetgate/contracts/fleet'
import { until } from '@fleetgate/testkit'
import t, { type Test } from 'tap'
import { command, finished, hashOf, sendCommand, step } from './centre.js'
import { makeFolders, startMachine } from './machine.js'

async function setUp(t: Test) {
  const folders = makeFolders(t)
  const machine = await startMachine(t, folders)
  let count = 0
  return {
    ...machine,
    root: folders.root,
    base: folders.base,
    write(path: string, text = path) {
      mkdirSync(dirname(join(folders.base, path)), { recursive: true })
      writeFileSync(join(folders.base, path), text)
    },
    read: (path: string) => readFileSync(join(folders.root, path), 'utf8'),
    has: (path: string) => existsSync(join(folders.root, path)),
    /** Runs one step by itself and answers its end. */
    async run(type: Step['type'], fields: Partial<Step>) {
      const id = `e${count++}`
      sendCommand(machine.centre, command(id, [step(1, type, fields)]))
      const end = (await finished(machine.centre, id)).find(({ kind }) => kind === 'STEP_ENDED')
      return { status: end?.status, message: end?.message }
    }
  }
}

function tree(path: string): string[] {
  return execFileSync('find', ['.', '-mindepth', '1'], { cwd: path, encoding: 'utf8' })
    .split('\n')
    .filter(Boolean)
    .sort()
}

t.test('COPY_FILE copies one file, and the modes decide about one that is there', async (t) => {
  const { run, write, read, root } = await setUp(t)
  write('root/a', 'one')
  chmodSync(join(root, 'a'), 0o640)
  const copy = (fields: Partial<Step> = {}) => run('COPY_FILE', { filePath: 'a', targetFilePath: 'b', ...fields })
  t.match(await copy(), { status: 'SUCCESS', message: /^copied .*a to .*b, 3 bytes$/ })
  t.equal(read('b'), 'one')
  t.equal(statSync(join(root, 'b')).mode & 0o777, 0o640, 'with the permissions of the source')
  t.match(await copy(), { status: 'SUCCESS', message: /has this content already/ })
  write('root/b', 'two')
  t.match(await copy({ overWrite: 'NOT_OVERWRITE' }), { status: 'SUCCESS', message: /skipped: .*exists/ })
  t.equal(read('b'), 'two')
  const inode = statSync(join(root, 'b')).ino
  t.match(await copy({ overWrite: 'COMPARE_OVERWRITE' }), { status: 'SUCCESS', message: /^copied/ })
  t.equal(read('b'), 'one', 'same size and other content is replaced')
  t.not(statSync(join(root, 'b')).ino, inode, 'by a whole new file')
  t.match(await run('COPY_FILE', { filePath: 'a', targetFilePath: 'bin' }), { status: 'SUCCESS' })
  t.equal(statSync(join(root, 'bin/a')).mode & 0o777, 0o751, 'in a folder of programs it becomes one')
  t.match(await copy({ targetFilePath: 'no/such/' }), { status: 'FAILED', message: /createFilePath is off/ })
  t.match(await copy({ targetFilePath: 'no/such/', createFilePath: true }), { status: 'SUCCESS' })
  t.equal(read('no/such/a'), 'one')
  t.match(await copy({ filePath: 'none' }), { status: 'FAILED', message: /none does not exist/ })
  t.match(await copy({ targetFilePath: 'a' }), { status: 'SUCCESS' }, 'a file onto itself')
  t.equal(read('a'), 'one')
  t.notOk(tree(root).some((path) => path.includes('.part')))
})

t.test('COPY_FILE writes into no file of others, and whole files where two steps write one', async (t) => {
  const { centre, run, write, read, root, base } = await setUp(t)
  write('root/a', 'one')
  write('other', 'mine')
  const target = join(realpathSync(root), 'b')
  const name = `.fleetgate-${hashOf(Buffer.from(target)).slice(0, 16)}-copy.part`
  linkSync(join(base, 'other'), join(root, name))
  t.match(await run('COPY_FILE', { filePath: 'a', targetFilePath: 'b' }), { status: 'SUCCESS' })
  t.equal(read('b'), 'one')
  t.equal(readFileSync(join(base, 'other'), 'utf8'), 'mine')

  const contents = ['x', 'y', 'z'].map((char, i) => char.repeat((i + 2) * 1_000_000))
  contents.forEach((text, i) => void write(`root/from${i}`, text))
  const steps = contents.map((_, i) =>
    step(i + 1, 'COPY_FILE', { filePath: `from${i}`, targetFilePath: 'b', block: false })
  )
  sendCommand(centre, command('at-once', steps))
  t.match((await finished(centre, 'at-once')).at(-1), { status: 'SUCCESS' })
  t.ok(contents.includes(read('b')), 'one of them, all of it')
  t.notOk(tree(root).some((path) => path.includes('.part')))
})

t.test('COPY_FILE takes folders with all below them, and patterns', async (t) => {
  const { run, write, root } = await setUp(t)
  for (const path of [
    'x.txt',
    'y.txt',
    'z.log',
    '.hidden.txt',
    'sub/deep/w.txt',
    '.git/config',
    'sub/.fleetgate-1.part'
  ])
    write(`root/from/${path}`)
  write('outside/secret')
  symlinkSync('../../outside', join(root, 'from/link'))
  execFileSync('mkfifo', [join(root, 'from/fifo')])
  mkdirSync(join(root, 'to'))
  const copy = (filePath: string, targetFilePath: string, fields: Partial<Step> = {}) =>
    run('COPY_FILE', { filePath, targetFilePath, ...fields })
  t.match(await copy('from', 'to'), { status: 'SUCCESS', message: /^6 files: copied/ })
  t.strictSame(
    tree(join(root, 'to')),
    [
      './.git',
      './.git/config',
      './.hidden.txt',
      './sub',
      './sub/deep',
      './sub/deep/w.txt',
      './x.txt',
      './y.txt',
      './z.log'
    ],
    'regular files; no link is followed, no FIFO opened, no unfinished file taken'
  )
  t.match(await copy('from', 'plain', { createFilePath: true, ignoreHiddenFile: true }), { status: 'SUCCESS' })
  t.strictSame(tree(join(root, 'plain')), ['./sub', './sub/deep', './sub/deep/w.txt', './x.txt', './y.txt', './z.log'])
  t.match(await copy('from/?.txt', 'texts/', { createFilePath: true }), { status: 'SUCCESS' })
  t.strictSame(tree(join(root, 'texts')), ['./x.txt', './y.txt'])
  t.match(await copy('from/.*', 'dots', { createFilePath: true }), { status: 'SUCCESS' })
  t.strictSame(tree(join(root, 'dots')), ['./.hidden.txt'])
  t.match(await copy('from', 'nowhere'), { status: 'FAILED', message: /nowhere does not exist/ })
  t.match(await copy('from', 'from/sub'), { status: 'FAILED', message: /cannot be copied into itself/ })
  t.match(await copy('from/*.nix', 'to'), { status: 'FAILED', message: /no file fits/ })
  t.match(await copy('fr*/x.txt', 'to'), { status: 'FAILED', message: /last part only/ })
})

t.test('DELETE_FILE removes files, links, folders and patterns, and what is gone is no failure', async (t) => {
  const { run, write, has, root, base } = await setUp(t)
  const remove = (filePath: string, fields: Partial<Step> = {}) => run('DELETE_FILE', { filePath, ...fields })
  write('root/one')
  t.match(await remove('one'), { status: 'SUCCESS', message: 'deleted one' })
  t.notOk(has('one'))
  t.match(await remove('one'), { status: 'SUCCESS', message: 'one does not exist' })
  t.match(await remove('no/such/file'), { status: 'SUCCESS', message: /does not exist/ })
  t.match(await remove('*.none'), { status: 'SUCCESS', message: /does not exist/ })

  write('outside/secret')
  write('root/kept')
  symlinkSync('kept', join(root, 'link'))
  symlinkSync(join(base, 'outside'), join(root, 'link-out'))
  t.match(await remove('link'), { status: 'SUCCESS' })
  t.match(await remove('link-out'), { status: 'SUCCESS' })
  t.strictSame([has('kept'), has('link'), has('link-out')], [true, false, false], 'the link, not what it leads to')

  for (const path of ['a.log', 'b.log', 'c.txt', '.d.log', 'sub.log/e']) write(`root/logs/${path}`)
  t.match(await remove('logs/*.log'), { status: 'SUCCESS', message: /2 entries/ })
  t.strictSame(tree(join(root, 'logs')), ['./.d.log', './c.txt', './sub.log', './sub.log/e'], 'files, not folders')

  symlinkSync(join(base, 'outside'), join(root, 'logs/sub.log/out'))
  t.match(await remove('logs', { ignoreHiddenFile: true }), { status: 'SUCCESS', message: /1 folders are not empty/ })
  t.strictSame(tree(join(root, 'logs')), ['./.d.log'])
  t.match(await remove('logs/'), { status: 'SUCCESS' })
  t.notOk(has('logs'))
  t.ok(existsSync(join(base, 'outside/secret')), 'nothing outside was touched')

  write('root/odd/file')
  execFileSync('mkfifo', [join(root, 'odd/fifo')])
  t.match(await remove('odd'), { status: 'FAILED', message: /no file, folder or link/ })
  t.ok(has('odd/file'), 'all or nothing')
  t.match(await remove('odd/fifo'), { status: 'FAILED', message: /not a regular file/ })
  for (const path of ['.', root, `${root}/`]) t.match(await remove(path), { status: 'FAILED', message: /stays/ }, path)
})

t.test('no verb leaves the roots, in any form', async (t) => {
  const { run, write, root, base } = await setUp(t)
  write('outside/secret')
  write('root/file')
  symlinkSync(join(base, 'outside'), join(root, 'out'))
  symlinkSync(join(base, 'outside/secret'), join(root, 'file-out'))
  const before = tree(base)
  const ways = [
    '..',
    '../outside/secret',
    'out/../../outside/secret',
    `${base}/outside/secret`,
    `${root}/../outside/secret`,
    '/etc/passwd',
    '/dev/null',
    '/dev/zero',
    '/proc/self/environ',
    '../outside/*',
    `${base}/outside/*`,
    '/etc/pass*',
    'out/*',
    'out/secret',
    'c:\\Users\\x.txt',
    'C:/Users/x.txt',
    '\\\\host\\share\\x',
    'in\\..\\file',
    'c:*',
    '..\\*',
    'a\0b',
    'a\nb*',
    ''
  ]
  for (const path of [...ways, 'out', 'file-out']) {
    const copied = await run('COPY_FILE', { filePath: path, targetFilePath: 'stolen', createFilePath: true })
    t.equal(copied.status, 'FAILED', `COPY_FILE from ${JSON.stringify(path)}`)
    const placed = await run('COPY_FILE', { filePath: 'file', targetFilePath: path, createFilePath: true })
    // Patterns mean nothing in a target: there they are names.
    if (!/[*]/.test(path) || /^\.\.|^\/|\\|:|\n/.test(path))
      t.equal(placed.status, 'FAILED', `COPY_FILE to ${JSON.stringify(path)}`)
    const waited = await run('WAIT_FLAG_FILE', { filePath: path, timeout: 0.01 })
    t.equal(waited.status, 'FAILED', `WAIT_FLAG_FILE ${JSON.stringify(path)}`)
  }
  for (const path of ways) {
    t.equal((await run('DELETE_FILE', { filePath: path })).status, 'FAILED', `DELETE_FILE ${JSON.stringify(path)}`)
  }
  t.strictSame(
    tree(base).filter((path) => !/journal/.test(path)),
    before.filter((path) => !/journal/.test(path))
  )
  t.ok(lstatSync(join(root, 'file-out')).isSymbolicLink())
})

t.test('WAIT_FLAG_FILE waits for a file, no longer than it may, and holds up nothing beside it', async (t) => {
  const { run, write, centre } = await setUp(t)
  t.match(await run('WAIT_FLAG_FILE', { filePath: 'none/such', timeout: 0.05 }), {
    status: 'FAILED',
    message: 'none/such did not appear within 0.05 s'
  })
  const waits = step(1, 'WAIT_FLAG_FILE', { filePath: 'in/flag', block: false })
  const beside = step(2, 'GET_FILE_STATUS', { filePath: 'bin' })
  sendCommand(centre, command('w', [waits, beside]))
  await until(() => centre.events('w').some(({ kind, scriptId }) => kind === 'STEP_ENDED' && scriptId === 2), {
    what: 'the step beside'
  })
  t.not(centre.events('w').at(-1)?.kind, 'FINISHED')
  write('root/in/flag')
  t.match((await finished(centre, 'w')).at(-1), { status: 'SUCCESS' })
})

t.test('tries that failed count over a restart of the agent', async (t) => {
  const folders = makeFolders(t)
  const { agent, centre } = await startMachine(t, folders)
  const tries = () => centre.events('e').filter(({ message }) => /^try \d of 3 failed/.test(message ?? '')).length
  const wait = step(1, 'COPY_FILE', { filePath: 'none', targetFilePath: 'x', retryTimes: 2, retryInterval: 600 })
  sendCommand(centre, command('e', [wait]))
  await until(() => tries() === 1, { what: 'the first failure' })
  await agent.stop()
  // A stopping agent gives up the pause, and the next one begins with the second try at once.
  const second = await startMachine(t, folders, { centre })
  await until(() => tries() === 2, { what: 'the second failure' })
  await second.agent.stop()
  await startMachine(t, folders, { centre })
  t.match((await finished(centre, 'e')).at(-1), { status: 'FAILED', message: /none does not exist/ })
  t.equal(tries(), 2)
})

t.test('a try that failed goes on with the files that it found first', async (t) => {
  const { centre, write, root, has } = await setUp(t)
  write('root/from/a')
  mkdirSync(join(root, 'to'))
  mkdirSync(join(root, 'to/a'))
  const scripts = [
    step(1, 'COPY_FILE', { filePath: 'from', targetFilePath: 'to', retryTimes: 1000, retryInterval: 0.05 })
  ]
  sendCommand(centre, command('e', scripts))
  await until(() => centre.events('e').some(({ kind }) => kind === 'STEP_MESSAGE'), { what: 'a failed try' })
  write('root/from/late')
  execFileSync('rmdir', [join(root, 'to/a')])
  t.equal((await finished(centre, 'e')).at(-1)?.status, 'SUCCESS')
  t.strictSame(readdirSync(join(root, 'to')), ['a'])
  t.ok(has('from/late'))
})
