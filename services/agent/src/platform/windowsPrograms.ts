import { win32 } from 'node:path'

/** What is started for a program, and with what. */
export interface Call {
  program: string
  args: string[]
  /** The arguments are a command line already. */
  isVerbatim?: boolean
}

const scripts = ['.bat', '.cmd', '.ps1']
const extensions = ['.exe', '.com', ...scripts]

/** Windows tells by the last part of a name whether a file is a program. */
export function isWindowsProgram(path: string): boolean {
  return extensions.includes(win32.extname(path).toLowerCase())
}

/**
 * How a program is started on Windows, which starts only .exe and .com itself; batch files need its shell, and Node starts none of
 * them (CVE-2024-27980). Throws an error with the reason where that cannot be done without a chance of another meaning.
 */
export function windowsCall(path: string, args: string[], systemRoot = 'C:\\Windows'): Call {
  const extension = win32.extname(path).toLowerCase()
  if (!isWindowsProgram(path)) throw new Error(`${path} is no program: ${extensions.join(', ')} are`)
  if (!scripts.includes(extension)) return { program: path, args }
  const system = win32.join(systemRoot, 'System32')
  if (extension === '.ps1') {
    const shell = win32.join(system, 'WindowsPowerShell', 'v1.0', 'powershell.exe')
    // What may run is the matter of the list of programs; where a policy of the domain says otherwise, that wins.
    const how = ['-NoProfile', '-NonInteractive', '-ExecutionPolicy', 'Bypass', '-File', path]
    return { program: shell, args: [...how, ...args] }
  }
  const line = [path, ...args].map(quoteForBatch).join(' ')
  const how = ['/d', '/e:on', '/v:off', '/s', '/c']
  return { program: win32.join(system, 'cmd.exe'), args: [...how, `"${line}"`], isVerbatim: true }
}

/**
 * A batch file may take an argument out of its quotes, and then whatever the shell acts on would run: a way around the list of
 * programs. What follows a backslash at the end would be taken for a part of the argument by programs called.
 */
function quoteForBatch(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/["%&|<>^!\u0000-\u001f]/.test(text)) {
    throw new Error(
      `a batch file cannot be given ${JSON.stringify(text)}: none of " % & | < > ^ ! and no control characters`
    )
  }
  return `"${text.replace(/\\+$/, '$&$&')}"`
}
