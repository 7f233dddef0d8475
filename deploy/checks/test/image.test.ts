/** What deploy/Dockerfile puts into each image, started from that file set alone on real parts. */
import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connectBus } from '@fleetgate/contracts'
import { isServing, stackServices, workspaceRoot } from '@fleetgate/local'
import { freePort, quietLog, startParts, type Teardown, temporaryFolder, until } from '@fleetgate/testkit'
import t from 'tap'

const dir = temporaryFolder(t)
const images = join(dir, 'images')
const read = (file: string) => readFileSync(join(workspaceRoot, file), 'utf8')
const dockerfile = read('deploy/Dockerfile')
const sizes = execFileSync(
  process.execPath,
  [join(workspaceRoot, 'scripts/dist/src/printImageFiles.js'), 'all', images],
  {
    encoding: 'utf8'
  }
)

t.test('an image holds what runs: no tests, types, maps or tools', async (t) => {
  t.equal(sizes.trim().split('\n').length, 7, sizes)
  for (const target of readdirSync(images)) {
    const files = readdirSync(join(images, target), { recursive: true, encoding: 'utf8' })
    const own = files.filter((file) => !file.startsWith('node_modules'))
    t.same(
      own.filter((file) => /\.ts$|\.map$|\/test\//.test(file)),
      [],
      `${target}: own files`
    )
    const packages = new Set(files.map((file) => /^node_modules\/\.pnpm\/(@?[^@/]+)@[^/]*$/.exec(file)?.[1]))
    for (const tool of ['tap', 'typescript', '@biomejs+biome', 'autocannon'])
      t.notOk(packages.has(tool), `${target}: ${tool}`)
    t.same(
      files.filter((file) => /testkit|embedded-mongodb|nats-embedded/.test(file)),
      [],
      `${target}: nothing of the tests' parts`
    )
  }
})

t.test('the README tells their sizes', async (t) => {
  const readme = read('deploy/README.md')
  const sizesOf = (text: string) =>
    [...text.matchAll(/^(\S+) +own +([\d.]+) MB, packages +([\d.]+) MB$/gm)].map(([, name = '', own, packages]) => ({
      name,
      megabytes: [Number(own), Number(packages)]
    }))
  for (const { name, megabytes } of sizesOf(sizes)) {
    const told = sizesOf(readme).find((one) => one.name === name)?.megabytes ?? []
    const isNear = megabytes.every((size, index) => Math.abs(size - (told[index] ?? 0)) <= 0.3 + size / 10)
    t.ok(isNear, `${name}: ${megabytes.join(' and ')} MB, told ${told.join(' and ')}`)
  }
})

t.test('what is only loaded when it is used is there too', async (t) => {
  const run = (target: string, code: string) =>
    promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], {
      cwd: join(images, 'TARGET', 'services/TARGET').replaceAll('TARGET', target)
    })
  const sandbox = `
    const { createSandbox } = await import('./dist/src/workflows/sandbox/sandbox.js')
    const sandbox = createSandbox(1)
    console.log(await sandbox.run({ code: 'function main(x) { return x + 1 }', globals: {}, argument: 41 }))
    await sandbox.close()`
  t.match(await run('devices', sandbox), { stdout: '42\n' }, 'code of workflows')
  const ec2 = `
    const { createEc2 } = await import('./dist/src/providers/amazonec2/ec2Client.js')
    const { DescribeImagesCommand } = await import('@aws-sdk/client-ec2')
    const settings = { region: 'eu-west-1', accessKey: 'x', secretKey: 'x' }
    const ec2 = createEc2(settings, 'http://127.0.0.1:${await freePort()}', Date.now)
    const ask = (client, options) => client.send(new DescribeImagesCommand({}), options)
    await ec2.ask(ask, { signal: new AbortController().signal }).catch((error) => console.log(error.stack, error.cause))`
  t.match(await run('cluster-manager', ec2), { stdout: /ECONNREFUSED/ }, "Amazon's client, which asks where nobody is")
  const google = `
    const { generateKeyPairSync } = await import('node:crypto')
    const { createGoogleClient } = await import('./dist/src/providers/google/googleClient.js')
    const privateKeyEncoding = { type: 'pkcs8', format: 'pem' }
    const { privateKey: key } = generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding })
    const settings = { account: { email: 'x', key }, project: 'x', zone: 'x' }
    const url = 'http://127.0.0.1:${await freePort()}'
    const client = createGoogleClient({ settings, urls: { compute: url, token: url }, now: Date.now })
    const ask = (api, options) => api.networks.list({ project: 'x' }, options)
    await client.ask(ask, { signal: new AbortController().signal }).catch(console.log)`
  t.match(await run('cluster-manager', google), { stdout: /ECONNREFUSED/ }, "Google's client, which asks the same")
})

t.test('every service starts from its files, outside of the checkout, and is ready', async (t) => {
  const parts = await startParts(t)
  const ports = Object.fromEntries(
    await Promise.all(stackServices.map(async (name) => [name, await freePort()] as const))
  )
  const mqttPort = await freePort()
  for (const name of stackServices) {
    const env = {
      PATH: process.env.PATH,
      NODE_ENV: 'production',
      PORT: String(ports[name]),
      NATS_URL: parts.natsUrl,
      MONGODB_URI: parts.mongoUri,
      SECRETS_KEY_FILE: parts.keyFile,
      MQTT_PORT: String(mqttPort),
      DATA_DIR: join(dir, `data-${name}`),
      FLEETGATE_VERSION: '1.2.3',
      FLEETGATE_REVISION: 'abc',
      ...Object.fromEntries(
        stackServices.map((other) => [
          `${other.replaceAll('-', '_').toUpperCase()}_URL`,
          `http://127.0.0.1:${ports[other]}`
        ])
      )
    }
    const [, command = '[]'] = new RegExp(`AS ${name}\\n[\\s\\S]*?^CMD (.+)$`, 'm').exec(dockerfile) ?? []
    start(t, name, JSON.parse(command) as string[], env)
  }
  for (const name of stackServices) {
    const url = `http://127.0.0.1:${ports[name]}`
    await until(() => isServing(url), { what: `${name} to be ready`, deadlineMs: 60_000 })
    const figures = await (await fetch(`${url}/metrics`)).text()
    t.match(figures, /build_info\{version="1\.2\.3",revision="abc",service="[a-z-]+"\} 1/, `${name} says what it is`)
    t.equal(await health(ports[name] as number), 0, `the image's own health check finds ${name} well`)
  }
  t.not(await health(await freePort()), 0, 'and would find out where nothing answers')

  const bus = await connectBus({ name: 'test', url: parts.natsUrl, log: quietLog })
  t.teardown(() => bus.close())
  const streams: string[] = []
  for await (const { config } of bus.manager.streams.list()) streams.push(config.name)
  const copied = /for stream in (.+); do/.exec(read('k8s/overlays/production/streams.yaml'))?.[1]?.split(' ') ?? []
  t.same(copied.toSorted(), streams.toSorted(), 'on Kubernetes each stream that they make gets its copies')
  const saved = /for stream in (.+); do/.exec(read('k8s/components/backup/streams.sh'))?.[1]?.split(' ') ?? []
  t.same(saved.toSorted(), streams.toSorted(), 'and each is backed up')
})

/** The HEALTHCHECK of the Dockerfile, word for word. */
async function health(port: number): Promise<number> {
  const [command = '', ...args] = JSON.parse(/CMD (\["node", "-e".*\])$/m.exec(dockerfile)?.[1] ?? '[]') as string[]
  const env = { PATH: process.env.PATH, PORT: String(port) }
  return promisify(execFile)(command, args, { env }).then(
    () => 0,
    (error: { code: number }) => error.code
  )
}

t.test('the agent starts from its files, by the command of its image, on an empty volume', async (t) => {
  const [, part = ''] = dockerfile.split('FROM base AS agent')
  const here = (text = '') => text.replaceAll(/\/data|\/tmp(?=\/heartbeat)/g, join(dir, 'agent'))
  const command = JSON.parse(here(/^CMD (.+)$/m.exec(part)?.[1])) as string[]
  const settings = here(/^ENV (.+)$/m.exec(part)?.[1]).split(' ')
  mkdirSync(join(dir, 'agent'))
  const output = start(t, 'agent', command, {
    PATH: process.env.PATH,
    MQTT_URL: `mqtt://127.0.0.1:${await freePort()}`,
    ...Object.fromEntries(settings.map((setting) => setting.split('=')))
  })
  await until(() => output().includes('agent started'), { what: 'the agent to say so' }).catch((cause) => {
    throw new Error(output(), { cause })
  })
  const [program = '', ...args] = JSON.parse(here(/^HEALTHCHECK .*\n +CMD (.+)$/m.exec(part)?.[1])) as string[]
  const health = () => spawnSync(program, args).status
  t.equal(health(), 1, 'without a broker it is not well')
  const beat = join(dir, 'agent/heartbeat')
  writeFileSync(beat, '')
  t.equal(health(), 0)
  const before = Date.now() / 1000 - 180
  utimesSync(beat, before, before)
  t.equal(health(), 1, 'nor when its last beat is long ago')
})

/** Without the checkout's packages in reach, as the folder lies outside of it. */
function start(t: Teardown, target: string, [program = '', ...args]: string[], env: NodeJS.ProcessEnv): () => string {
  let text = ''
  const child = spawn(program, args, { cwd: join(images, target), env })
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      text += String(chunk)
    })
  t.teardown(async () => {
    const ended = child.exitCode === null ? new Promise((resolve) => child.once('exit', resolve)) : undefined
    child.kill('SIGKILL')
    await ended
  })
  return () => text
}
