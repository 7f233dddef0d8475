<#
.SYNOPSIS
Installs the agent on Windows with Node 20.19 or newer as a scheduled task, or a newer one over an older one.
.DESCRIPTION
The task starts with the machine, is started again within a minute whenever the agent has ended, and runs as a built-in account
without a password. Needs an administrator and no network but the fleet itself. May be run again at any time, also after it was
interrupted; -WhatIf only says what would be done. Without -TokenFile the machine must be enrolled already: its program is replaced.
.EXAMPLE
powershell -ExecutionPolicy Bypass -File install.ps1 -Url https://fleet.example.com -TokenFile token -Root C:\store -Program C:\store\bin
.PARAMETER Root
Folders that jobs may touch (C:\store where none is named); those that are missing are made. Several are named from within
PowerShell: .\install.ps1 -Root C:\store, D:\data
.PARAMETER Program
Programs, or folders of programs, that jobs may run (nothing).
.PARAMETER Account
Who runs the agent and what jobs run. LOCALSERVICE may do next to nothing; jobs that install software need SYSTEM.
.PARAMETER Node
node.exe, if it is not the one on PATH. Everybody who may write to it decides what Account does.
#>
#Requires -Version 5.1
#Requires -RunAsAdministrator
[CmdletBinding(SupportsShouldProcess)]
param(
  [string] $Url,
  [string] $TokenFile,
  [string] $ClientId,
  [ValidateSet('STORE', 'SERVER')] [string] $Role,
  [string[]] $Root = @(),
  [string[]] $Program = @(),
  [string] $Ca,
  [string] $Bundle = (Join-Path $PSScriptRoot 'fleetgate-agent.mjs'),
  [string] $Node,
  [ValidateSet('LOCALSERVICE', 'NETWORKSERVICE', 'SYSTEM')] [string] $Account = 'LOCALSERVICE'
)
Set-StrictMode -Version 3
$ErrorActionPreference = 'Stop'

$task = 'Fleetgate agent'
$lib = Join-Path $env:ProgramFiles 'Fleetgate'
$agent = Join-Path $lib 'fleetgate-agent.mjs'
$data = Join-Path $env:ProgramData 'Fleetgate'
$config = Join-Path $data 'agent.json'
# By their numbers: the names of accounts differ with the language of Windows.
$sid = @{ SYSTEM = 'S-1-5-18'; LOCALSERVICE = 'S-1-5-19'; NETWORKSERVICE = 'S-1-5-20' }[$Account]
$admins = New-Object System.Security.Principal.SecurityIdentifier 'S-1-5-32-544'

function Step([string] $What, [scriptblock] $Work) {
  if ($script:PSCmdlet.ShouldProcess($What)) { & $Work }
}

# A backslash before the closing quote would be taken for a part of the argument.
function Get-Plain([string] $Path) {
  if ($Path.Length -gt 3) { $Path.TrimEnd('\') } else { $Path }
}

function Call([string] $File, [string[]] $Arguments) {
  & $File @Arguments
  if ($LASTEXITCODE -ne 0) { throw "$File ended with $LASTEXITCODE" }
}

function Test-Needs {
  if (-not (Test-Path -LiteralPath $Bundle -PathType Leaf)) { throw "$Bundle is not there: make it with scripts/agent-bundle" }
  $version = [version]((& $Node --version).TrimStart('v'))
  if ($version -lt [version]'20.19') { throw "Node.js 20.19 or newer is needed, this is $version" }
  if ($TokenFile -and -not (Test-Path -LiteralPath $TokenFile -PathType Leaf)) { throw "$TokenFile is not there" }
  $isEnrolled = (Test-Path -LiteralPath $config) -and (Select-String -LiteralPath $config -Pattern '"MQTT_URL"' -SimpleMatch -Quiet)
  if (-not $TokenFile -and -not $isEnrolled) { throw 'this machine is not enrolled: -Url and -TokenFile are needed' }
  if ($TokenFile -and -not $Url -and -not $isEnrolled) { throw '-Url is needed with -TokenFile' }
}

# Everybody may make folders in ProgramData, and a configuration in one would decide what the agent does.
function Test-Owner {
  if (-not (Test-Path -LiteralPath $data)) { return }
  $owner = (Get-Acl -LiteralPath $data).GetOwner([System.Security.Principal.SecurityIdentifier]).Value
  if ($owner -notin 'S-1-5-18', $admins.Value) { throw "$data belongs to $owner and not to the administrators: remove it" }
}

# The password of the machine is in there: it is for the system, the administrators and the agent's account.
function Protect-Data {
  $acl = New-Object System.Security.AccessControl.DirectorySecurity
  $acl.SetOwner($admins)
  $acl.SetAccessRuleProtection($true, $false)
  $rights = @{ 'S-1-5-18' = 'FullControl'; 'S-1-5-32-544' = 'FullControl' }
  if ($Account -ne 'SYSTEM') { $rights[$sid] = 'Modify' }
  foreach ($who in $rights.Keys) {
    $id = New-Object System.Security.Principal.SecurityIdentifier $who
    $acl.AddAccessRule((New-Object System.Security.AccessControl.FileSystemAccessRule $id, $rights[$who], 'ContainerInherit, ObjectInherit', 'None', 'Allow'))
  }
  New-Item -ItemType Directory -Force -Path $data | Out-Null
  Set-Acl -LiteralPath $data -AclObject $acl
}

# The file is the old one or the new one, never half of it.
function Copy-Agent {
  New-Item -ItemType Directory -Force -Path $lib | Out-Null
  Copy-Item -LiteralPath $Bundle -Destination "$agent.new" -Force
  Move-Item -LiteralPath "$agent.new" -Destination $agent -Force
}

function New-Root([string] $Path) {
  New-Item -ItemType Directory -Path $Path | Out-Null
  Call icacls.exe @($Path, '/grant', "*${sid}:(OI)(CI)M", '/Q')
}

# enrol keeps what stands there. A task has no standard output that anybody reads, so there is a log file.
function Register-Machine {
  if (-not (Test-Path -LiteralPath $config)) {
    ConvertTo-Json @{ LOG_FILE = (Join-Path $data 'agent.log') } | Set-Content -LiteralPath $config -Encoding UTF8
  }
  $options = @('enrol', '--config', $config, '--token-file', $TokenFile)
  if ($Url) { $options += '--url', $Url }
  if ($ClientId) { $options += '--client-id', $ClientId }
  if ($Role) { $options += '--role', $Role }
  if ($Ca) { $options += '--ca', $Ca }
  foreach ($one in $Root) { $options += '--root', (Get-Plain $one) }
  foreach ($one in $Program) { $options += '--program', (Get-Plain $one) }
  Call $Node (@($agent) + $options)
}

# A task that fails is not started again by every version of Windows: looking each minute is what they all do.
function Register-Task {
  $action = New-ScheduledTaskAction -Execute $Node -Argument "--max-semi-space-size=1 `"$agent`" run --config `"$config`"" -WorkingDirectory $lib
  $triggers = @(
    (New-ScheduledTaskTrigger -AtStartup),
    (New-ScheduledTaskTrigger -Once -At (Get-Date) -RepetitionInterval (New-TimeSpan -Minutes 1))
  )
  $settings = New-ScheduledTaskSettingsSet -MultipleInstances IgnoreNew -ExecutionTimeLimit ([TimeSpan]::Zero) -Priority 5 `
    -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries -StartWhenAvailable
  $principal = New-ScheduledTaskPrincipal -UserId $Account -LogonType ServiceAccount
  Register-ScheduledTask -TaskName $task -Action $action -Trigger $triggers -Settings $settings -Principal $principal -Force | Out-Null
}

if (-not $Node) {
  $found = Get-Command node.exe -CommandType Application -ErrorAction SilentlyContinue | Select-Object -First 1
  if (-not $found) { throw 'Node.js 20.19 or newer is needed (https://nodejs.org), or its place with -Node' }
  $Node = $found.Source
}
if ($Root.Count -eq 0 -and -not (Test-Path -LiteralPath $config)) { $Root = @('C:\store') }
Test-Needs
Test-Owner
Step "protect $data for $Account" { Protect-Data }
Step "put $agent" { Copy-Agent }
foreach ($one in $Root) {
  if (-not (Test-Path -LiteralPath $one)) { Step "make $one for $Account" { New-Root $one } }
}
if ($TokenFile) { Step "enrol at $Url" { Register-Machine } }
Step "register the task '$task' as $Account with $Node" { Register-Task }
Step "start '$task' anew" {
  Stop-ScheduledTask -TaskName $task
  Start-ScheduledTask -TaskName $task
}
