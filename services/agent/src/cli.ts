import { existsSync } from 'node:fs'
import { type ParseArgsConfig, parseArgs } from 'node:util'
import { usualPaths } from './platform/usualPaths.js'
import { version } from './version.js'

type Options = NonNullable<ParseArgsConfig['options']>
type Values = Record<string, string | boolean | (string | boolean)[] | undefined>

interface Command {
  /** Empty where it is not for people. */
  usage: string
  options: Options
  /** Answers the exit code; nothing where the process goes on. */
  run(values: Values, rest: string[]): Promise<number | undefined>
}

const usualConfig = usualPaths().config
const config = { config: { type: 'string' } } satisfies Options

/** Each loads what it needs when it is called: a runner or a self-test is no place for an MQTT client. */
const commands: Record<string, Command> = {
  run: {
    usage: 'run [--config FILE]                    run the agent; what is done where no command is named',
    options: config,
    run: async (values) => {
      const { start } = await import('./start.js')
      await start(configFile(values))
      return undefined
    }
  },
  check: {
    usage: 'check [--config FILE] [--json]         test what the agent needs; exit code 1 where something is wrong',
    options: { ...config, json: { type: 'boolean' } },
    run: async (values) => {
      const { checkMachine } = await import('./check/checkMachine.js')
      return checkMachine({ configFile: configFile(values), asJson: values.json === true })
    }
  },
  enrol: {
    usage: [
      'enrol --url URL --token TOKEN          put this machine under control and write its configuration',
      '        [--token-file FILE]            the token from a file, or from standard input (-)',
      '        [--client-id ID] [--role STORE|SERVER] [--ca FILE] [--config FILE]',
      '        [--state-dir DIR] [--root DIR]… [--program FILE|DIR]… [--wait SECONDS]'
    ].join('\n  '),
    options: {
      ...config,
      url: { type: 'string' },
      token: { type: 'string' },
      'token-file': { type: 'string' },
      'client-id': { type: 'string' },
      role: { type: 'string' },
      ca: { type: 'string' },
      'state-dir': { type: 'string' },
      root: { type: 'string', multiple: true },
      program: { type: 'string', multiple: true },
      wait: { type: 'string' }
    },
    run: async (values) => {
      const { enrolMachine } = await import('./enrol/enrolMachine.js')
      return enrolMachine({ ...values, config: chosenConfig(values) ?? usualConfig })
    }
  },
  version: {
    usage: 'version',
    options: {},
    run: async () => {
      console.log(version)
      return 0
    }
  },
  runner: {
    usage: '',
    options: {},
    run: async (_values, [folder = '']) => {
      const { runProgram } = await import('./runs/runProgram.js')
      await runProgram(folder)
      return 0
    }
  }
}

/** Does what the arguments of the program say. A file in place of a command is the configuration to run with. */
export async function runCommand(args: string[]): Promise<void> {
  try {
    const code = await dispatch(args)
    if (code !== undefined) await exit(code)
  } catch (error) {
    const isUsage = (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') ?? false
    console.error(`fleetgate-agent: ${error instanceof Error ? error.message : String(error)}`)
    if (isUsage) console.error(usage())
    await exit(isUsage ? 2 : 1)
  }
}

/** When all that was said is out: where standard output is a pipe, that may take a moment on Windows and macOS. */
async function exit(code: number): Promise<void> {
  // Whoever listened may be gone: that is an end too.
  for (const stream of [process.stdout, process.stderr])
    await new Promise((done) => stream.once('error', done).write('', done))
  process.exit(code)
}

async function dispatch(args: string[]): Promise<number | undefined> {
  const [first = 'run', ...rest] = args
  if (first === '--help' || first === '-h' || first === 'help') {
    console.log(usage())
    return 0
  }
  if (first === '--version') return dispatch(['version'])
  const command = Object.hasOwn(commands, first) ? commands[first] : undefined
  if (command) return call(command, rest)
  if (first.startsWith('-')) return dispatch(['run', ...args])
  if (rest.length === 0 && existsSync(first)) return dispatch(['run', '--config', first])
  console.error(`fleetgate-agent: there is no command ${first}\n${usage()}`)
  return 2
}

function call(command: Command, args: string[]): Promise<number | undefined> {
  const { options } = command
  const { values, positionals } = parseArgs({ args, options, allowPositionals: command.usage === '' })
  return command.run(values as Values, positionals)
}

function configFile(values: Values): string | undefined {
  return chosenConfig(values) ?? (existsSync(usualConfig) ? usualConfig : undefined)
}

function chosenConfig({ config: given }: Values): string | undefined {
  return typeof given === 'string' ? given : process.env.CONFIG_FILE || undefined
}

function usage(): string {
  const lines = Object.values(commands).flatMap((command) => (command.usage ? [command.usage] : []))
  return ['usage: fleetgate-agent COMMAND', ...lines].join('\n  ')
}
